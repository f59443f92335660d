"""The family, size, method and changes of a result, from the settings that it records."""

import pytest

from minillm.errors import InputError
from minillm.evaluation.result import Result
from minillm.reporting.paper.models import Model, parameters_of, scored_models
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
               {"length_normalization": False}, {"variant": "official"}]  # fmt: skip
    contents = [result("GPT-2", "120M", "minillm", run=f"runs/{i}", changes=change)
                for i, change in enumerate(changes)]  # fmt: skip
    contents.append(result("GPT-2", "120M", "sft", run="runs/lora", lora=16))
    found = {model.name: model.is_ablation for model, _ in models_of(*contents)}
    assert found == {
        "MiniLLM, no teacher mixing": True, "MiniLLM, alpha 0.5": True,
        "MiniLLM, no single-step term": True, "MiniLLM, without L_PT": False,
        "MiniLLM, no length normalisation": True, "MiniLLM, variant official": False,
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


def test_seeds_are_grouped_and_other_runs_are_not():
    runs = [result("OPT", "1.3B", "kd", run=f"runs/kd_{seed}", seed=seed) for seed in (2, 1)]
    assert models_of(*runs, runs[0]) == [(Model("OPT", "1.3B", "KD"), 2)]
    runs.append(result("OPT", "1.3B", "kd", run="runs/other", seed=1, score=30))
    names = [(model.name, count) for model, count in models_of(*runs)]
    assert names == [("KD, run kd_1", 1), ("KD, run kd_2", 1), ("KD, run other", 1)]
    same_name = result("OPT", "1.3B", "kd", run="else/kd_1", seed=1, score=30)
    with pytest.raises(InputError, match=r"two different results for OPT 1[.]3B KD, run kd_1"):
        models_of(*runs, same_name)


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
