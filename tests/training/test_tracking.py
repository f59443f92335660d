"""The lines of metrics.jsonl, and Weights & Biases without its server."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
import wandb

from minillm.training.tracking import Tracker
from tests.conftest import BUILT


def test_values_that_are_not_finite_are_null(tmp_path):
    """JSON has neither NaN nor infinity. Trackers get the values as they are."""
    logged = []
    accelerator = SimpleNamespace(
        is_main_process=True, log=lambda values, step: logged.append((step, values))
    )
    values = {"validation/frontier": math.nan, "optimizer/norm": math.inf, "loss": 1 / 3}
    Tracker(accelerator, tmp_path / "metrics.jsonl").log(5, values)
    line = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=lambda _: "not JSON")
    expected = {"validation/frontier": None, "optimizer/norm": None, "loss": 0.333333}
    assert line == {"step": 5} | expected
    assert logged == [(5, values)]


@pytest.fixture
def wandb_key(monkeypatch):
    """A key, and a server that does not exist."""
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_SILENT", "true")
    wandb.teardown()  # the next use reads the variables
    yield
    wandb.teardown()


def test_wandb_without_a_network_runs_offline_and_warns(command, settings, wandb_key, caplog):
    options = ["runtime.trackers=[wandb]", "training.steps=1", "output=out"]
    outcome = command("train", *settings, *BUILT, *options)
    assert outcome.status == 0, outcome.err
    assert "http://127.0.0.1:9 cannot be reached" in caplog.text and "wandb sync" in caplog.text
    assert list(Path("out/wandb").glob("offline-run-*/*.wandb"))


@pytest.mark.parametrize("place", ["login", "init"])
def test_an_error_of_wandb_leaves_no_folder(command, settings, wandb_key, monkeypatch, place):
    def fail(*_, verify=True, **__):
        if verify:
            raise wandb.errors.CommError("permission denied\nby the server")
        return True

    monkeypatch.setattr(requests, "get", lambda *_, **__: None)
    monkeypatch.setattr(wandb, "login", lambda **_: True)
    monkeypatch.setattr(wandb, place, fail)
    train = ["train", *settings, *BUILT, "training.steps=1", "output=out"]
    outcome = command(*train, "runtime.trackers=[wandb]")
    assert outcome.status == 2 and "Traceback" not in outcome.err
    assert "Weights & Biases cannot be used: permission denied." in outcome.err
    assert "WANDB_MODE=offline" in outcome.err and not Path("out").exists()
