"""Trainings as processes. If one dies, its worker goes on.

By default, a worker has one process that trains one run after another, which keeps the libraries
and the teacher loaded (`commands/train_many.py`). With `sweep.launcher`, each run is a process of
its own.
"""

import ctypes
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil

from minillm.errors import InputError

PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Exit statuses of a training that a signal has stopped, after a checkpoint (docs/checkpoints.md).
STOPPED = (75, 130)
TRAIN_MANY = ("-m", "minillm.commands.train_many")  # what Python runs in a kept process
GRACE = 10.0  # seconds in which processes may end before they are asked again or killed
PATIENCE = 120.0  # seconds in which a training that its launcher has left may write a checkpoint


class Trainer(Protocol):
    """Trains the runs of a worker, one at a time."""

    def start(self, words: Sequence[str], log: Path, locks: Sequence[int]) -> None:
        """Start `minillm train` with these words.

        If the worker dies, the training receives SIGTERM and writes a checkpoint (on Linux;
        elsewhere it runs to its end).

        Args:
            words: the settings of the run.
            log: the file to which the output is appended.
            locks: file descriptors that the training keeps open while it runs.
        """

    def poll(self) -> int | None:
        """The exit status of the run; None while it runs. A negative status is a signal."""

    def stop(self) -> None:
        """Let the run write a checkpoint and end."""

    def kill(self) -> None:
        """End the run and all of its processes soon, also those that do not react to SIGTERM."""

    def saved(self) -> float:
        """Seconds that the last run has saved, because something was loaded already."""


@dataclass
class OwnProcesses:
    """Starts each run by a launcher.

    Attributes:
        launcher: the command that precedes `train`.
        group: the name of the study, by which Weights & Biases groups its runs.
        process: the newest run.
    """

    launcher: str
    group: str
    process: subprocess.Popen | None = None

    def start(self, words: Sequence[str], log: Path, locks: Sequence[int]) -> None:
        environment = os.environ | {"WANDB_RUN_GROUP": self.group}
        # The workers of a machine need different ports.
        environment.setdefault("MASTER_PORT", str(_free_port()))
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            self.process = _start([*shlex.split(self.launcher), "train", *words], locks,
                                  stdout=file, stderr=file, env=environment)  # fmt: skip

    def poll(self) -> int | None:
        return self.process.poll()

    def stop(self) -> None:
        if self.process.poll() is None:
            _end(self.process, None, PATIENCE)

    def kill(self) -> None:
        _kill(self.process)

    def saved(self) -> float:
        return 0.0


@dataclass
class KeptProcess:
    """Sends all runs to one process, which is started again if it has died.

    Attributes:
        group: the name of the study, by which Weights & Biases groups its runs.
        process: the process, if it was started.
        channel: a socket to it.
        answer: what it has said about the last run.
    """

    group: str
    process: subprocess.Popen | None = None
    channel: socket.socket | None = None
    answer: dict[str, Any] | None = None

    def start(self, words: Sequence[str], log: Path, locks: Sequence[int]) -> None:
        if self.process is None or self.process.poll() is not None:
            self._start_process(log)
        self.answer = None
        run = json.dumps({"words": list(words), "log": str(log)}).encode() + b"\n"
        # If it dies now, `poll` has its status.
        with suppress(BrokenPipeError, ConnectionResetError):
            socket.send_fds(self.channel, [run], list(locks))

    def _start_process(self, log: Path) -> None:
        if self.channel is not None:
            self.channel.close()
        self.channel, other = socket.socketpair()
        command = [sys.executable, *TRAIN_MANY, str(other.fileno()), str(time.monotonic())]
        log.parent.mkdir(parents=True, exist_ok=True)
        with other, log.open("ab") as file:  # errors before its first run
            self.process = _start(command, [other.fileno()], stdout=file, stderr=file,
                                  env=os.environ | {"WANDB_RUN_GROUP": self.group})  # fmt: skip

    def poll(self) -> int | None:
        if self.answer is None:
            status = self.process.poll()  # before its answer is read, so that none is missed
            with suppress(BlockingIOError, ConnectionResetError):
                text = self.channel.recv(1 << 16, socket.MSG_DONTWAIT)
                self.answer = json.loads(text) if text else None
        if self.answer is None:
            # Without an answer, the run has not ended normally.
            return -signal.SIGKILL if status == 0 else status
        if self.answer["status"] not in (0, *STOPPED) and self.process is not None:
            # The process ends after a failed run. The next run must not be sent to it.
            try:
                self.process.wait(GRACE)
            except subprocess.TimeoutExpired:
                _kill(self.process)
            self.process = None
        return self.answer["status"]

    def stop(self) -> None:
        if self.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            while self.poll() is None:
                time.sleep(0.05)

    def kill(self) -> None:
        if self.process is not None:
            _kill(self.process)

    def saved(self) -> float:
        return self.answer["saved"] if self.answer else 0.0


def check_launcher(launcher: str) -> None:
    """Refuse a launcher that is not a command.

    Raises:
        InputError: its quotes do not match, or there is no such program.
    """
    try:
        program = (shlex.split(launcher) or [""])[0]
    except ValueError as error:
        raise InputError(
            f"sweep.launcher={launcher} cannot be read: {error}. Write it as in a shell, such as "
            f"sweep.launcher='bash scripts/launch.sh'."
        ) from error
    if shutil.which(program) is None:
        raise InputError(
            f"sweep.launcher={launcher} cannot be started: there is no program {program!r}. Give a "
            f"command, such as 'bash scripts/launch.sh'."
        )


def make_trainer(launcher: str | None, group: str) -> Trainer:
    """What trains the runs of a worker; see `sweep.launcher`."""
    return OwnProcesses(launcher, group) if launcher else KeptProcess(group)


def _start(command: Sequence[str], descriptors: Sequence[int], **options: Any) -> subprocess.Popen:
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, pass_fds=descriptors,
        start_new_session=True,  # Ctrl-C goes to the worker, which stops the training
        preexec_fn=_die_with_worker, **options,
    )  # fmt: skip


def _die_with_worker() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(process: subprocess.Popen, wait: float | None, patience: float) -> None:
    """End a process, and those that it has started and left.

    Each is asked by SIGTERM. Those that have not ended in time are killed.

    Args:
        process: the process.
        wait: seconds in which the process may end; None: without a limit.
        patience: seconds in which each process that it has left may end.
    """
    started = _started_by(process)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(wait)
    _, left = psutil.wait_procs(started, GRACE)
    for ask in (psutil.Process.terminate, psutil.Process.kill):
        for each in left:
            with suppress(psutil.NoSuchProcess):
                ask(each)
        _, left = psutil.wait_procs(left, patience)
    process.kill()
    process.wait()


def _started_by(process: subprocess.Popen) -> list[psutil.Process]:
    """The processes that a process has started, and those that these have started."""
    with suppress(psutil.NoSuchProcess):
        if process.poll() is None:
            return psutil.Process(process.pid).children(recursive=True)
    return []


def _kill(process: subprocess.Popen) -> None:
    """End a process and those that it has started, also if it has ended before them."""
    _end(process, GRACE, GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("", 0))
        return free.getsockname()[1]


def size_of(log: Path) -> int:
    """The number of bytes in a log."""
    return log.stat().st_size if log.is_file() else 0


def error_text(log: Path, begin: int, status: int) -> str:
    """Why a training has failed: the last error that it has printed, or its last line.

    Args:
        log: the log of the trial, which may begin with the output of earlier starts.
        begin: size of the log when the training was started.
        status: exit status of the training.
    """
    content = log.read_bytes()[begin:] if log.is_file() else b""
    lines = content.decode("utf-8", errors="replace").splitlines()
    lines = [line.strip() for line in lines if line.strip()]
    own = [line for line in lines if line.startswith("minillm: ")]
    last = (own or lines or ["no output"])[-1]
    return f"exit status {status}: {last.removeprefix('minillm: ')}"
