"""Stops and kills runs at chosen moments, and compares the results of finished runs."""

import json
import math
import multiprocessing
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from minillm.training.stepper import Stepper
from tests.conftest import call

# Metrics that differ between two equal runs, because they are times.
TIMED = ("seconds/", "speed/", "rollout/seconds")
# File operations (audit events of Python) before which a run can be killed.
OPERATIONS = {"open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.link",
              "shutil.copyfile", "shutil.rmtree"}  # fmt: skip

STEP = Stepper.update

# A server that has imported everything forks each run, so that a run starts fast.
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["minillm.commands.train", "tests.training.interrupting",
                                "torch.utils.tensorboard"])  # fmt: skip


def start(
    arguments: list, folder: Path, prepare: Callable[[], None] | None = None
) -> multiprocessing.Process:
    """Run the command in a new process, in `folder`. Its errors are written to `errors.txt` there.

    The process first calls `prepare`, for example one of the functions below.
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
    """Kill this process with SIGKILL after `number` file operations below `out`."""
    left, here = number, str(Path("out").absolute())

    def count(event: str, arguments: tuple) -> None:
        nonlocal left
        if event in OPERATIONS and str(arguments[0]).startswith(("out/", here)):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def join_group(rank: int, world: int, port: int, prepare: Callable[[], None] | None) -> None:
    """Set the environment of one of several processes, as launchers do."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world),
                   "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip
    if prepare:
        prepare()


def stop_at(number: int | None, which: int = signal.SIGTERM) -> None:
    """Send a signal to this process in training step `number`, or no signal if it is None."""

    def stepped(self: Stepper, *arguments: object) -> float:
        if arguments[-1] == number:
            signal.raise_signal(which)
        return STEP(self, *arguments)

    Stepper.update = stepped


def stop_on(backend: dict[str, str], number: int | None) -> None:
    """`stop_at`, on the backend of these environment variables."""
    os.environ.update(backend)
    stop_at(number)


def limit_file_size(size: int) -> None:
    """Limit files of this process to `size` bytes. Large files then fail as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def hang() -> None:
    """Make the first step endless."""

    def forever(self: Stepper, batch: object) -> None:
        print("hangs", file=sys.stderr, flush=True)
        while True:
            time.sleep(0.01)

    Stepper.totals = forever


def outcome(run: Path) -> dict:
    """All results of a finished run that must not depend on its stops."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    summary = json.loads((run / "summary.json").read_text())
    weights = {name: load_file(run / name / "model.safetensors") for name in ("best", "last")}
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


def same_outcome(one: dict, other: dict, tolerance: float = 0.0) -> bool:
    """Whether two runs have the same results, bitwise or within a tolerance."""
    for name, ours in one["weights"].items():
        for key, values in other["weights"][name].items():
            if not torch.allclose(ours[key], values, rtol=0, atol=tolerance):
                return False
    figures = [{k: v for k, v in found.items() if k != "weights"} for found in (one, other)]
    return same_figures(*figures, tolerance)


def same_figures(one: Any, other: Any, tolerance: float) -> bool:
    """Whether nested numbers agree within a tolerance. Logged numbers have six digits."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(
            same_figures(one[key], other[key], tolerance) for key in one
        )
    if isinstance(one, list):
        return len(one) == len(other) and all(
            same_figures(*pair, tolerance) for pair in zip(one, other, strict=True)
        )
    return math.isclose(one, other, rel_tol=2 * tolerance, abs_tol=tolerance)


def free_port() -> int:
    """A free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for(file: Path, words: str) -> None:
    """Wait until a file contains these words."""
    deadline = time.monotonic() + 60
    while not (file.exists() and words in file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
