"""Runs that are stopped and killed at chosen moments, and what must be the same at their end."""

import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path

from tests.conftest import call

# Of a line of metrics.jsonl, what is not the same twice.
TIMED = ("seconds/", "speed/", "rollout/seconds")
# File operations (audit events of Python) before which a run can be killed.
OPERATIONS = {"open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.link",
              "shutil.copyfile", "shutil.rmtree"}  # fmt: skip

# A server that has imported everything forks each run: start-up takes no seconds.
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["minillm.commands.train", "tests.training.interrupting",
                                "torch.utils.tensorboard"])  # fmt: skip


def start(arguments: list, folder: Path, kill_at: int | None = None) -> multiprocessing.Process:
    """The command in a process of its own, in `folder`; its errors go to `errors.txt` there."""
    process = context.Process(target=_run, args=(list(map(str, arguments)), folder, kill_at))
    process.start()
    return process


def _run(arguments: list[str], folder: Path, kill_at: int | None) -> None:
    os.chdir(folder)
    errors = os.open("errors.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(errors, 2)
    if kill_at is not None:
        _kill_before_operation(kill_at, folder)
    sys.exit(call(*arguments))


def _kill_before_operation(number: int, folder: Path) -> None:
    """SIGKILL to this process before so many file operations below `folder` are done."""
    left = number

    def count(event: str, arguments: tuple) -> None:
        nonlocal left
        if event in OPERATIONS and str(arguments[0]).startswith(("out/", str(folder))):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def outcome(run: Path) -> dict:
    """Everything of a finished run that must not depend on its stops."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    summary = json.loads((run / "summary.json").read_text())
    weights = {
        str(path.relative_to(run)): path.read_bytes()
        for name in ("best", "last")
        for path in (run / name).glob("*.safetensors")
    }
    return {
        "metrics": [
            {name: x for name, x in line.items() if not name.startswith(TIMED)} for line in lines
        ],
        "history": [
            {name: x for name, x in point.items() if name != "seconds"}
            for point in summary["history"]
        ],
        "best": summary["best"]["step"],
        "weights": weights,
    }
