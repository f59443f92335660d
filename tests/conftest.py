"""Shared fixtures: the command in this process, a tiny data set, and a tiny trained model."""

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# The libraries read these variables at import. No test may use the network.
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": tempfile.mkdtemp(prefix="minillm-")}

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState

from minillm.cli import main

COLOURS = ("red", "blue", "green", "white", "black", "amber", "grey")


@dataclass(frozen=True)
class Outcome:
    """Exit status and output of one call of the command."""

    status: int
    out: str
    err: str


def call(*arguments: object) -> int:
    """Run the command in this process, with the state of a new process; return its exit status."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code
    return 0


def rows(count: int = 30) -> list[dict]:
    """Small tasks. Every third task has two references, and every second task has an input."""
    tasks = []
    for i in range(count):
        first, second = COLOURS[i % 7], COLOURS[(3 * i + 1) % 7]
        output = [first, f"{first} {second}"] if i % 3 == 0 else f"{second} {first}"
        tasks.append({"instruction": f"Mix {first} number {i}", "output": output, "topic": "mix"})
        if i % 2:
            tasks[-1]["input"] = second
    return tasks


def write_jsonl(path: Path, lines: list[dict]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory) -> Path:
    """A folder with train.jsonl and test.jsonl."""
    folder = tmp_path_factory.mktemp("data")
    write_jsonl(folder / "train.jsonl", rows(30))
    write_jsonl(folder / "test.jsonl", rows(40)[30:])
    return folder


@pytest.fixture(scope="session")
def settings(data_folder) -> list[str]:
    """Overrides of a run that takes a fraction of a second."""
    data = {"name": "tiny", "kind": "jsonl", "path": data_folder, "train": "train.jsonl",
            "test": "test.jsonl", "validation_size": 5, "template": "plain",
            "max_prompt_length": 32, "max_response_length": 8}  # fmt: skip
    training = {"steps": 3, "batch_size": 4, "log_every": 1, "evaluate_every": 2, "lr": 1e-3,
                "warmup_steps": 0}  # fmt: skip
    runtime = {"threads": 1, "device": "cpu"}
    sections = {"data": data, "training": training, "runtime": runtime}
    return [f"{name}.{key}={x}" for name, part in sections.items() for key, x in part.items()]


BUILT = ["student.architecture=gpt2", "student.hidden_size=16", "student.layers=1",
         "student.heads=2", "student.vocab_size=300"]  # fmt: skip


@pytest.fixture(scope="session")
def teacher(settings, tmp_path_factory) -> Path:
    """The folder of a run of `minillm train method=sft`."""
    torch.set_num_threads(1)
    output = tmp_path_factory.mktemp("runs") / "teacher"
    assert call("train", *settings, *BUILT, "method=sft", f"output={output}") == 0
    return output


@pytest.fixture
def command(tmp_path, monkeypatch, capsys) -> Callable[..., Outcome]:
    """Runs the command in an empty working folder; returns its status and output."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        status = call(*arguments)
        return Outcome(status, *capsys.readouterr())

    return run


@pytest.fixture
def refused(command, settings) -> Callable[..., str]:
    """Trains with overrides and checks that they are refused; returns the error message."""

    def run(*overrides: object, status: int = 2) -> str:
        outcome = command("train", *settings, "output=out", *overrides)
        assert outcome.status == status, outcome.err
        assert outcome.err.startswith("minillm: ") and "Traceback" not in outcome.err
        assert not Path("out").exists(), "something was written"
        return outcome.err

    return run
