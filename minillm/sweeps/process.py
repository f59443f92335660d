"""One training of a trial, as a process of its own. If it dies, its worker goes on."""

import ctypes
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from minillm.files import read_json
from minillm.model_paths import METRICS, SUMMARY

PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Exit statuses of a training that a signal has stopped, after a checkpoint (docs/checkpoints.md).
STOPPED = (75, 130)


def start_training(
    words: Sequence[str], *, log: Path, launcher: str | None, group: str, lock: int | None
) -> subprocess.Popen:
    """Start `minillm train` with these words.

    If the worker dies, the training receives SIGTERM and writes a checkpoint (on Linux; elsewhere
    it runs to its end, and keeps the lock of its trial until then).

    Args:
        words: the settings of the run.
        log: the file to which the output is appended.
        launcher: the command that starts trainings; None for this Python.
        group: the name of the study, by which Weights & Biases groups its runs.
        lock: a file descriptor that the training keeps open while it runs.
    """
    command = shlex.split(launcher) if launcher else [sys.executable, "-m", "minillm"]
    environment = os.environ | {"WANDB_RUN_GROUP": group}
    if launcher and "MASTER_PORT" not in environment:  # workers of a machine need different ports
        environment["MASTER_PORT"] = str(_free_port())
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen(
            [*command, "train", *words], stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            env=environment, pass_fds=[lock] if lock is not None else [],
            start_new_session=True,  # Ctrl-C goes to the worker, which stops the training
            preexec_fn=_die_with_worker,
        )  # fmt: skip


def _die_with_worker() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("", 0))
        return free.getsockname()[1]


def stop(process: subprocess.Popen) -> None:
    """Let a training write a checkpoint and end. A second signal to the worker ends it at once."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait()


def kill(process: subprocess.Popen) -> None:
    """End a training and the processes that its launcher has started, without a checkpoint."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl of a run, without a last line that is not complete yet."""
    path = run / METRICS
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def read_summary(run: Path) -> dict[str, Any] | None:
    """The summary of a finished run; None for other runs."""
    return read_json(run / SUMMARY)


def error_text(log: Path, status: int) -> str:
    """Why a training has failed: its last line, which is its error, or the signal."""
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    lines = [line.strip() for line in lines if line.strip()]
    own = [line for line in lines if line.startswith("minillm: ")]
    last = (own or lines or ["no output"])[-1]
    return f"exit status {status}: {last.removeprefix('minillm: ')}"
