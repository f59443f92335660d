"""Runs that are stopped and killed at chosen moments, and what must be the same at their end."""

import json
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from minillm.training.loop import Trainer
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


def start(
    arguments: list, folder: Path, prepare: Callable[[], None] | None = None
) -> multiprocessing.Process:
    """The command in a process of its own, in `folder`; its errors go to `errors.txt` there.

    `prepare` is called there first: see the functions below.
    """
    process = context.Process(target=_run, args=(list(map(str, arguments)), folder, prepare))
    process.start()
    return process


def _run(arguments: list[str], folder: Path, prepare: Callable[[], None] | None) -> None:
    os.chdir(folder)
    errors = os.open("errors.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(errors, 2)
    if prepare:
        prepare()
    sys.exit(call(*arguments))


def kill_before_operation(number: int) -> None:
    """SIGKILL to this process before so many file operations below `out` are done."""
    left, here = number, str(Path("out").absolute())

    def count(event: str, arguments: tuple) -> None:
        nonlocal left
        if event in OPERATIONS and str(arguments[0]).startswith(("out/", here)):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def limit_file_size(size: int) -> None:
    """No file of this process can have more bytes: what a full disk does, for large files."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def hang() -> None:
    """The first step never ends."""

    def forever(self: Trainer, batch: object) -> None:
        print("hangs", file=sys.stderr, flush=True)
        while True:
            time.sleep(0.01)

    Trainer._totals = forever


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
