"""`minillm evaluate` keeps finished parts: nothing is sampled twice."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from minillm.evaluation import passes
from tests.commands.test_scores import numbers

SEEDS = "evaluation.seeds=[10]"
STORE = Path("run/evaluation/tiny")


@pytest.fixture
def run(teacher, tmp_path):
    return shutil.copytree(teacher, tmp_path / "run")


@pytest.fixture
def sampled(monkeypatch):
    """The seeds and temperatures of all passes that are sampled, as they happen."""
    found, original = [], passes.generate

    def generate(model, prompts, decoding, **options):
        found.append((options["seed"], decoding.temperature))
        return original(model, prompts, decoding, **options)

    monkeypatch.setattr(passes, "generate", generate)
    return found


def test_a_result_is_extended_without_sampling_its_responses_again(command, run, sampled, caplog):
    assert command("evaluate", "run", SEEDS, "evaluation.metrics=[rougeL]").status == 0
    assert sampled == [(10, 1.0), (0, 0.0)]
    sampled.clear()
    assert command("evaluate", "run", "evaluation.frontier=[0.5,1]").status == 0
    assert (
        command("evaluate", "run", "evaluation.seeds=[20]", "evaluation.metrics=null").status == 0
    )
    assert "evaluation.seeds was [10], now [10, 20]" in caplog.text
    assert {*sampled} == {(10, 0.5), (11, 0.5), (11, 1.0), (20, 1.0)}
    given = ("evaluation.seeds=[10,20]", "evaluation.frontier=[0.5,1]")
    assert command("evaluate", "run", *given, "output=new").status == 0
    assert numbers("run/evaluation/tiny.json") == numbers("new/evaluation/tiny.json")
    sampled.clear()
    assert command("evaluate", "run", SEEDS, "evaluation.greedy=false").status == 0
    assert sampled == [] and numbers("run/evaluation/tiny.json")["seeds"] == [10, 20]


def test_a_setting_that_would_change_values_is_refused(command, run):
    assert command("evaluate", "run", SEEDS, "evaluation.frontier=[1]").status == 0
    outcome = command("evaluate", "run", "evaluation.frontier=[1]", "evaluation.frontier_samples=3")
    assert outcome.status == 2 and "evaluation.frontier_samples was 2, now 3" in outcome.err


def test_an_interrupted_evaluation_continues(command, run, sampled):
    sampled.clear()
    assert command("evaluate", "run", "evaluation.seeds=[10,20]").status == 0
    Path("run/evaluation/tiny.json").unlink()
    (STORE / "temperature-1.0_seed-20.json").unlink()
    sampled.clear()
    assert command("evaluate", "run", "evaluation.seeds=[10,20]").status == 0
    assert sampled == [(20, 1.0)]


def test_parts_of_other_prompts_and_weights_are_not_used(command, run, sampled):
    assert command("evaluate", "run", SEEDS).status == 0
    result = Path("run/evaluation/tiny.json")
    for change in (lambda: ["evaluation.limit=3"], lambda: change_a_weight(run / "best")):
        result.unlink()
        sampled.clear()
        assert command("evaluate", "run", SEEDS, *change()).status == 0
        assert sampled == [(10, 1.0), (0, 0.0)]
    sampled.clear()
    assert command("evaluate", "run", SEEDS, "overwrite=true").status == 0
    assert sampled == [(10, 1.0), (0, 0.0)]


def change_a_weight(model):
    weights = load_file(model / "model.safetensors")
    next(iter(weights.values())).view(-1)[0] += 1
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    return []


def test_a_result_of_before_a_setting_is_extended(command, run):
    """Such a result has all scores and lacks the setting `exposure_samples`."""
    assert command("evaluate", "run", SEEDS, "evaluation.metrics=[rougeL]").status == 0
    result = Path("run/evaluation/tiny.json")
    content = json.loads(result.read_text())
    del content["config"]["evaluation"]["exposure_samples"]
    result.write_text(json.dumps(content))
    assert command("evaluate", "run", "evaluation.metrics=[length]").status == 0
    assert list(json.loads(result.read_text())["metrics"]) == ["rougeL", "length"]


def test_reverse_kls_at_two_temperatures_are_told_apart(command, run):
    """One is that of the model, the other that of the sampled distribution."""
    teacher = shutil.copytree(run / "best", "teacher")
    change_a_weight(Path(teacher))
    given = (SEEDS, f"teacher.path={teacher}", "evaluation.temperature=0.5", "output=out")
    assert command("evaluate", "run", *given, "evaluation.frontier=[0.5,1]").status == 0
    found = numbers("out/evaluation/tiny.json")
    shutil.rmtree("out/evaluation/tiny")
    given = (SEEDS, f"teacher.path={teacher}", "output=alone", "evaluation.frontier=[0.5,1]")
    assert command("evaluate", "run", *given).status == 0
    assert found["frontier"] == numbers("alone/evaluation/tiny.json")["frontier"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}'])
def test_a_damaged_part_is_named_and_made_again(command, run, sampled, caplog, text):
    assert command("evaluate", "run", SEEDS).status == 0
    result, part = Path("run/evaluation/tiny.json"), STORE / "greedy.json"
    expected, whole = numbers(result), part.read_text()
    result.unlink()
    part.write_text(text)
    sampled.clear()
    assert command("evaluate", "run", SEEDS).status == 0
    assert f"{part} is damaged" in caplog.text and sampled == [(0, 0.0)]
    assert numbers(result) == expected and json.loads(part.read_text()) == json.loads(whole)


def test_the_exposure_bias_is_stored(command, run, sampled):
    given = (SEEDS, "teacher.path=run/best", "evaluation.name=student")
    assert command("evaluate", "run", *given, "evaluation.exposure_samples=2").status == 0
    expected = numbers("run/evaluation/tiny.json")["exposure_bias"]
    Path("run/evaluation/tiny.json").unlink()
    sampled.clear()
    assert command("evaluate", "run", *given, "evaluation.exposure_samples=2").status == 0
    assert sampled == [] and numbers("run/evaluation/tiny.json")["exposure_bias"] == expected
