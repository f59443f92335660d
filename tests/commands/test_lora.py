"""`minillm train`, `evaluate` and `generate` with adapters."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from peft import AutoPeftModelForCausalLM
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tests.training.interrupting import outcome, same_outcome, stop_at

LORA = ["student.lora.rank=2", "training.lr=5e-2", "training.select_by=last"]
BASE = ["teacher.kind=base", *LORA]
KD = ["method=kd", "method.student_temperature=2", *LORA]
MINILLM = ["method=minillm", "method.rollouts_per_collection=8", "method.alpha=0.4"]


@pytest.fixture
def train(command, settings, teacher):
    """Trains an adapter of the tiny model; returns the log."""

    def run(*overrides, output="out"):
        student = f"student.path={teacher}/best"
        outcome = command("train", *settings, student, f"output={output}", *overrides)
        assert outcome.status == 0, outcome.err
        return outcome.err

    return run


def metrics(run):
    return [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("method", [["method=kd"], MINILLM, ["method=gkd", "teacher.top_k=20"]])
def test_the_base_as_teacher_is_a_teacher_that_was_loaded(train, teacher, method):
    """The mixture sampler draws the same responses, and all losses are the same."""
    train(*method, *BASE, output="shared")
    train(*method, *LORA, f"teacher.path={teacher}/best", output="loaded")
    for one, other in zip(metrics("shared"), metrics("loaded"), strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            if not name.startswith(("seconds", "speed", "rollout/seconds")):
                assert other[name] == pytest.approx(value, rel=1e-6, abs=1e-6), name
    assert metrics("shared")[-1]["validation/reverse_kl"] > 1e-5


def test_a_run_saves_the_merged_model_and_the_adapter(train, command, teacher, caplog):
    train("method=kd", *BASE)
    assert "512 parameters are trained" in caplog.text
    best = Path("out/best")
    assert {path.name for path in (best / "adapter").iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors"}  # fmt: skip
    start = load_file(teacher / "best/model.safetensors")
    saved = load_file(best / "model.safetensors")
    changed = {name for name, weight in saved.items() if not torch.equal(weight, start[name])}
    assert saved.keys() == start.keys()
    assert changed == {name for name in saved if name.endswith(("attn.weight", "proj.weight",
                                                               "fc.weight"))}  # fmt: skip
    ids = torch.arange(5)[None]
    merged = AutoModelForCausalLM.from_pretrained(best)(ids).logits
    with_adapter = AutoPeftModelForCausalLM.from_pretrained(best / "adapter")(ids).logits
    torch.testing.assert_close(merged, with_adapter, atol=1e-6, rtol=0)
    details = json.loads((best / "minillm.json").read_text())
    assert details["config"]["student"]["lora"]["rank"] == 2
    evaluated = command("evaluate", "out")
    assert evaluated.status == 0, evaluated.err
    result = json.loads(Path("out/evaluation/tiny.json").read_text())
    assert result["config"]["teacher"]["path"] == f"{teacher}/best"


def test_an_adapter_is_scored_and_sampled_as_the_merged_model(train, command, teacher):
    runs, kd = ("adapter", "merged"), [*KD, f"teacher.path={teacher}/best"]
    scores, texts = [], []
    for run in runs:
        train(*kd, f"student.lora.saves={run}", output=run)
        assert command("evaluate", run, "evaluation.seeds=[10]").status == 0
        result = json.loads(Path(run, "evaluation/tiny.json").read_text())
        scores.append({name: x["mean"] for name, x in result["metrics"].items()})
        texts.append(command("generate", run, "--prompt", "Mix red").out)
    assert not Path("adapter/best/model.safetensors").exists()
    assert scores[0] == pytest.approx(scores[1], rel=1e-3)
    assert scores[0]["reverse_kl"] > 1e-5
    assert texts[0] and texts[0] == texts[1]


def test_an_adapter_is_trained_further_and_is_a_teacher(train, command, settings):
    train("method=sft", *LORA, "student.lora.saves=adapter")
    further = ["student.path=out/best", "training.lr=1e-2", "training.select_by=last"]
    train("method=kd", *further, "teacher.kind=base", output="further")
    assert metrics("further")[0]["validation/reverse_kl"] > 1e-6  # the teacher has no adapter
    start, end = (load_file(f"{folder}/adapter_model.safetensors")
                  for folder in ("out/best", "further/best/adapter"))  # fmt: skip
    assert start.keys() == end.keys()
    assert all((start[name] - end[name]).abs().max() > 1e-4 for name in start)
    train("method=kd", *further, "teacher.path=out/best", output="same")
    assert metrics("same")[0]["validation/reverse_kl"] == pytest.approx(0, abs=1e-7)
    average = ["teacher.kind=average", "teacher.rate=0.5", "method.kd_ratio=0.5"]
    train("method=kd", *further, *average, output="average")
    assert metrics("average")[-2]["loss/forward_kl"] > 1e-7
    again = command("train", *settings, *further, "method=sft", "student.lora.rank=2")
    assert again.status == 2 and "which is an adapter already" in again.err


def test_a_stopped_run_continues_to_the_bit(train, command, settings, teacher):
    """Checkpoints contain only the trained weights."""
    more = [*MINILLM, *BASE, "student.lora.dropout=0.1", "training.steps=5", "method.lm_coef=0"]
    gkd = ["method=gkd", *BASE, "student.lora.dropout=0.1", "training.steps=5"]
    for number, run in enumerate((more, gkd)):
        train(*run, output=f"whole{number}")
        try:
            stop_at(3)
            stopped = command("train", *settings, f"student.path={teacher}/best", *run,
                              f"output=out{number}")  # fmt: skip
        finally:
            stop_at(None)
        assert stopped.status == 75, stopped.err
        weights = torch.load(f"out{number}/checkpoints/step-000003/pytorch_model.bin")
        assert weights and all(".lora_" in name for name in weights)
        train(*run, "resume=auto", output=f"out{number}")
        assert same_outcome(outcome(Path(f"out{number}")), outcome(Path(f"whole{number}")))


def test_a_run_does_not_continue_with_other_frozen_weights(train, command, settings, teacher):
    AutoModelForCausalLM.from_pretrained(teacher / "best").save_pretrained("base")
    for file in (teacher / "best").glob("token*"):
        Path("base", file.name).write_bytes(file.read_bytes())
    train("method=sft", *LORA, "student.path=base")
    AutoModelForCausalLM.from_pretrained(teacher / "last").save_pretrained("base")
    again = command("train", *settings, "method=sft", *LORA, "student.path=base", "output=out",
                    "training.steps=6", "resume=auto")  # fmt: skip
    assert again.status == 2
    assert "contains an adapter of other weights than student.path=base has now" in again.err


def test_frozen_weights_may_be_in_half_precision(train):
    train("method=sft", *LORA, "student.dtype=bfloat16")
    saved = load_file("out/last/model.safetensors")
    assert {weight.dtype for weight in saved.values()} == {torch.float32}
    assert yaml.safe_load(Path("out/config.yaml").read_text())["student"]["dtype"] == "bfloat16"
