"""The family, size, method and changes of a result, from the settings that it records."""

import pytest

from minillm.errors import InputError
from minillm.evaluation.result import Result
from minillm.reporting.paper.curves import figure_16
from minillm.reporting.paper.models import Model, parameters_of, scored_models
from minillm.reporting.paper.sizes import figure_1, figure_5
from minillm.reporting.roles import with_roles
from tests.reporting.paper.fabricated import result


def models_of(*contents: dict) -> list[tuple[Model, int]]:
    """The models, and the numbers of their training runs."""
    results = with_roles([Result.from_json(content, "here") for content in contents])
    scored = scored_models({f"file {i}": each for i, each in enumerate(results)})
    return [(each.model, len(each.group.results)) for each in scored]


def test_names_come_from_recorded_settings():
    """A name of the evaluation is a role or nothing; the training says the method."""
    named = result("GPT-2", "120M", "minillm", run="runs/x")
    named |= {"method": "my best run", "data": "dolly"}
    named["config"]["evaluation"]["name"] = "my best run"
    assert models_of(named) == [(Model("GPT-2", "120M", "MiniLLM", (), 0.2), 1)]


def test_changes_of_minillm_are_variants():
    changes = [{"alpha": 0}, {"alpha": 0.5}, {"single_step": False}, {"lm_coef": 0.0},
               {"length_normalization": False}, {"variant": "official"}, {"gamma": 0.9},
               {"clip_range": None, "inner_epochs": 1},
               {"variant": "official", "length_normalization": False},
               {"variant": "average_reward", "length_normalization": True}]  # fmt: skip
    contents = [result("GPT-2", "120M", "minillm", run=f"runs/{i}", changes=change)
                for i, change in enumerate(changes)]  # fmt: skip
    contents.append(result("GPT-2", "120M", "sft", run="runs/lora", lora=16))
    found = {model.name: model.is_ablation for model, _ in models_of(*contents)}
    assert found == {
        "MiniLLM, no teacher mixing": True, "MiniLLM, alpha 0.5": True,
        "MiniLLM, no single-step term": True, "MiniLLM, without L_PT": False,
        "MiniLLM, no length normalisation": True, "MiniLLM, variant official": False,
        "MiniLLM, gamma 0.9": False, "MiniLLM, clip_range None, inner_epochs 1": False,
        "MiniLLM, variant official, no length normalisation": True,
        "MiniLLM, variant average_reward, length_normalization True": False,
        "SFT, LoRA of rank 16": False,
    }  # fmt: skip


def test_an_sft_model_that_teaches_is_still_a_student():
    """Only `evaluation.name` makes it the teacher of its family; other teachers are named."""
    contents = [
        result("GPT-2", "1.5B", "teacher", run="runs/teacher"),
        result("GPT-2", "340M", "sft", run="runs/340M"),
        result("GPT-2", "120M", "seqkd", run="runs/a", teacher="runs/340M/best"),
        result("GPT-2", "120M", "seqkd", run="runs/b", teacher="runs/teacher/best"),
    ]
    assert [model for model, _ in models_of(*contents)] == [
        Model("GPT-2", "1.5B", "teacher"),
        Model("GPT-2", "120M", "SeqKD", (), teacher_size="1.5B"),
        Model("GPT-2", "120M", "SeqKD", ("teacher 340M SFT",), teacher_size="340M"),
        Model("GPT-2", "340M", "SFT"),
    ]


def test_students_of_two_teachers_are_not_mixed():
    """Both have the role `teacher`. The larger one is the teacher of the paper's tables."""
    contents = [result("GPT-2", size, "teacher", run=f"runs/{size}") for size in ("340M", "1.5B")]
    contents += [
        result("GPT-2", "120M", "minillm", run=f"runs/of_{size}", teacher=f"runs/{size}/best",
               seed=seed, changes=changes)
        for seed, size in enumerate(("340M", "1.5B")) for changes in ({}, {"alpha": 0.4})
    ]  # fmt: skip
    names = [model.name for model, _ in models_of(*contents) if not model.is_teacher]
    assert names == ["MiniLLM", "MiniLLM, alpha 0.4", "MiniLLM, alpha 0.4, teacher 340M",
                     "MiniLLM, teacher 340M"]  # fmt: skip
    results = {str(i): Result.from_json(content, "here") for i, content in enumerate(contents)}
    rows = figure_16(scored_models(results)).rows
    assert {row["training_seed"] for row in rows} == {1}


def test_runs_with_other_settings_are_not_seeds_of_one_run():
    runs = [result("OPT", "1.3B", "kd", run=f"runs/{seed}", seed=seed, changes={"kd_ratio": ratio})
            for seed, ratio in enumerate((0.5, 0.5, 0.9))]  # fmt: skip
    assert models_of(*runs[:2]) == [(Model("OPT", "1.3B", "KD"), 2)]
    assert [model.name for model, _ in models_of(*runs)] == [f"KD, run {i}" for i in range(3)]
    for run, size in zip(runs[:2], (4, 8), strict=True):
        run["training"]["config"]["training"] = {"lr": 0.001, "micro_batch_size": size}
    assert len(models_of(*runs[:2])) == 1  # the size of micro-batches alters no result
    runs[1]["training"]["config"]["training"]["lr"] = 0.002
    assert len(models_of(*runs[:2])) == 2


def test_a_size_whose_students_share_no_data_set_has_no_figure():
    contents = [result("GPT-2", size, "teacher", run=f"runs/{size}") for size in ("340M", "1.5B")]
    contents += [result("GPT-2", "120M", "kd", data, run=f"runs/{data}",
                        teacher=f"runs/{size}/best")
                 for data, size in (("dolly", "340M"), ("vicuna", "1.5B"))]  # fmt: skip
    results = {str(i): Result.from_json(content, "here") for i, content in enumerate(contents)}
    assert figure_5(scored_models(results)) is None


def test_a_family_without_students_has_no_panel():
    contents = [result(family, "1.5B", "teacher", run=f"runs/{family}")
                for family in ("GPT-2", "OPT")]  # fmt: skip
    contents.append(result("GPT-2", "120M", "kd", run="runs/kd"))
    results = {str(i): Result.from_json(content, "here") for i, content in enumerate(contents)}
    assert {row["family"] for row in figure_1(scored_models(results), {}).rows} == {"GPT-2"}


def test_seeds_are_grouped_and_other_runs_are_not():
    runs = [result("OPT", "1.3B", "kd", run=f"runs/kd_{seed}", seed=seed) for seed in (2, 1)]
    assert models_of(*runs, runs[0]) == [(Model("OPT", "1.3B", "KD"), 2)]
    runs.append(result("OPT", "1.3B", "kd", run="runs/other", seed=1, score=30))
    names = [(model.name, count) for model, count in models_of(*runs)]
    assert names == [("KD, run kd_1", 1), ("KD, run kd_2", 1), ("KD, run other", 1)]
    same_name = result("OPT", "1.3B", "kd", run="else/kd_1", seed=1, score=30)
    with pytest.raises(InputError, match=r"two different results for OPT 1[.]3B KD, run kd_1"):
        models_of(*runs, same_name)


def test_the_last_checkpoint_of_a_run_is_left_out_beside_the_best():
    best, last = (result("GPT-2", "120M", "kd", run="runs/kd", score=score) for score in (20, 18))
    last["run"] = last["run"] | {"name": f"{best['run']['name']}/last"}
    assert models_of(best, last) == models_of(best) == [(Model("GPT-2", "120M", "KD"), 1)]


def test_results_without_recorded_names():
    """Older results, and models of the Hub, have the architecture and the parameters."""
    old = result("x", "y", "kd", run="runs/old")
    del old["training"]["config"]
    old["config"]["evaluation"]["name"] = None
    assert models_of(old) == [(Model("gpt2", "124M", "KD"), 1)]
    old["config"]["student"] |= {"family": "GPT-2", "size": "120M"}  # of the evaluation
    assert models_of(old) == [(Model("GPT-2", "120M", "KD"), 1)]


def test_sizes_are_numbers():
    assert [parameters_of(size) for size in ("120M", "1.5B", "28.1k", "812", "large")] == [
        120e6, 1.5e9, 28.1e3, 812, 0,
    ]  # fmt: skip
