"""Numbers that are not finite end a run, and are never written to its folder."""

import math
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from minillm.commands import train as train_command
from minillm.training.finite import MAX_SKIPPED, FiniteCheck
from tests.conftest import BUILT

FREQUENT = ["training.steps=4", "training.checkpoint_every=1", "training.keep_checkpoints=1",
            "training.evaluate_every=99", "output=out"]  # fmt: skip
TOO_LARGE = "training.lr=1e39"  # one step with this rate makes weights infinite


@pytest.fixture
def train(command, settings):
    """Run a tiny training in `out`, and check that all written weights are finite."""

    def run(*overrides):
        outcome = command("train", *settings, *BUILT, *FREQUENT, *overrides)
        written = [load_file(path) for path in Path("out").rglob("model.safetensors")]
        written += [torch.load(path) for path in Path("out").rglob("pytorch_model.bin")]
        assert written and all(x.isfinite().all() for one in written for x in one.values())
        return outcome

    return run


@pytest.fixture
def float16(monkeypatch):
    """float16 as on a GPU, but without a loss scale: a CPU computes in float32."""
    monkeypatch.setattr(train_command, "check_training_precision", lambda config: None)
    return "runtime.mixed_precision=fp16"


def test_a_loss_that_is_not_finite_stops_a_run_in_float16(train, float16):
    outcome = train(float16, "training.lr=1e30", "training.checkpoint_every=99")
    assert outcome.status == 3, outcome.err
    assert "loss or gradient is not finite at step 2 (loss nan)" in outcome.err


def test_a_run_in_float16_stops_after_many_skipped_steps_in_a_row(train, float16, monkeypatch):
    monkeypatch.setattr(Accelerator, "clip_grad_norm_", lambda *_: torch.tensor(math.inf))
    outcome = train(float16, "training.steps=20")
    assert outcome.status == 3, outcome.err
    assert f"{MAX_SKIPPED} steps in a row were skipped" in outcome.err
    assert [path.name for path in Path("out/checkpoints").iterdir()] == ["step-000015"]


def test_a_step_that_is_not_skipped_starts_the_count_again():
    check = FiniteCheck(Path("out"), skips_steps=True)
    for step in range(3 * MAX_SKIPPED):
        check.check_step(step, 1.0, math.nan if step % MAX_SKIPPED else 1.0)
    assert check.skipped == MAX_SKIPPED - 1


def test_weights_that_are_not_finite_are_not_written_to_a_checkpoint(train):
    outcome = train(TOO_LARGE)
    assert outcome.status == 3, outcome.err
    assert "are NaN or infinite after step 1, so training stopped" in outcome.err
    assert not list(Path("out").glob("checkpoints/*"))


def test_weights_that_are_not_finite_are_not_written_to_last(train, monkeypatch):
    """The loss of a validation can be finite, because no input may use such a weight."""
    scores = {"loss": 1.0, "rougeL": 1.0}
    monkeypatch.setattr(train_command, "validate", lambda *_, **__: scores)
    outcome = train(TOO_LARGE, "training.steps=1")
    assert outcome.status == 3, outcome.err
    assert "are NaN or infinite after step 1, so training stopped" in outcome.err
