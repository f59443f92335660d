"""Ctrl-C during training: a short message, and complete models and checkpoints."""

import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from minillm.training.files import fault
from tests.conftest import BUILT


def test_ctrl_c(settings, tmp_path):
    options = ["training.steps=100000", "training.evaluate_every=3", "output=out"]
    process = subprocess.Popen(
        [sys.executable, "-m", "minillm", "train", *settings, *BUILT, *options],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        # Shells let background processes ignore SIGINT. This process must receive SIGINT.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    output = tmp_path / "out"
    try:
        deadline = time.monotonic() + 60
        while lines(output / "metrics.jsonl") < 40:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1].startswith("minillm: SIGINT at step ")
    assert "resume=auto" in errors
    assert "Traceback" not in errors
    assert not [path for path in (output / "checkpoints").iterdir() if fault(path)]
    for name in ("best", "last"):
        module = AutoModelForCausalLM.from_pretrained(output / name)
        assert torch.isfinite(module(torch.tensor([[5, 6]])).logits).all()


def lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0
