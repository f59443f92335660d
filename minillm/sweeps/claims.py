"""Which worker runs which trial: every trial has one owner, and dead owners lose their trials.

A worker holds a lock on `FOLDER/locks/N` while it runs the trial N, and its training inherits the
lock. So the lock is free only when worker and training have both ended. A worker also changes the
attribute `heartbeat` of the trial in the storage again and again. Another worker takes a trial
whose lock is free if

- the owner has released the trial, because a signal stopped the owner, or
- the owner was a process of this machine, where a free lock means that it is dead, or
- the heartbeat has not changed for four intervals, by the clock of the observer.

Clocks of different machines are never compared. If the machines do not share the folder, only the
heartbeat protects a trial.
"""

import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from minillm.compat.optuna import unfinished_trial

OWNER, MACHINE, HEARTBEAT = "owner", "machine", "heartbeat"
RELEASED = ""  # the owner of a trial that waits for another worker
PATIENCE = 4  # intervals without a heartbeat after which an owner counts as dead


class LostTrial(Exception):
    """Another worker has taken the trial, because this worker showed no sign of life."""


@dataclass
class Claims:
    """The claims of one worker.

    Attributes:
        study: the study.
        folder: the folder of the sweep.
        interval: seconds between two heartbeats.
        owner: the name of this worker, different for every start of a worker.
        seen: the last heartbeat of each running trial of others, and when this worker saw it first.
        lock: the lock of the trial that this worker runs.
        heartbeat: when this worker last showed a sign of life, and how often.
    """

    study: Study
    folder: Path
    interval: float
    owner: str = field(default_factory=lambda: uuid.uuid4().hex)
    seen: dict[int, tuple[object, float]] = field(default_factory=dict)
    lock: int | None = None
    heartbeat: tuple[float, int] = (0.0, 0)

    def take(self, trial: Trial) -> bool:
        """Become the owner of a trial; False if its lock is not free, or if it has ended."""
        path = self.folder / "locks" / str(trial.number)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        os.set_inheritable(lock, True)
        self.lock, self.heartbeat = lock, (0.0, 0)
        try:
            trial.set_user_attr(MACHINE, machine_id())
            trial.set_user_attr(OWNER, self.owner)
            self.beat(trial)
        except (UpdateFinishedTrialError, LostTrial):  # its worker has ended it meanwhile
            self.drop_lock()
            return False
        return True

    def beat(self, trial: Trial) -> None:
        """Show a sign of life if it is time.

        Raises:
            LostTrial: the trial has another owner, or was ended by another worker.
        """
        last, number = self.heartbeat
        if number and time.monotonic() - last < self.interval:
            return
        try:
            trial.set_user_attr(HEARTBEAT, f"{self.owner}-{number}")
        except UpdateFinishedTrialError as error:
            raise LostTrial from error
        self.heartbeat = (time.monotonic(), number + 1)
        if self.trial(trial.number).user_attrs.get(OWNER) != self.owner:
            raise LostTrial

    def release(self, trial: Trial) -> None:
        """Leave a trial to the next worker that asks for one, if no other worker has ended it."""
        with suppress(UpdateFinishedTrialError):
            trial.set_user_attr(OWNER, RELEASED)

    def drop_lock(self) -> None:
        """Free the lock of the trial, which has ended or is left to others."""
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    def abandoned(self) -> Iterator[Trial]:
        """Running trials without a living owner. `take` decides whether this worker gets one."""
        running = self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
        for frozen in running:
            if self._is_abandoned(frozen):
                yield unfinished_trial(self.study, frozen.number)

    def _is_abandoned(self, trial: FrozenTrial) -> bool:
        attributes = trial.user_attrs
        beat = attributes.get(HEARTBEAT)
        if self.seen.get(trial.number, (None, 0.0))[0] != beat or trial.number not in self.seen:
            self.seen[trial.number] = (beat, time.monotonic())
        silent = time.monotonic() - self.seen[trial.number][1]
        is_here = attributes.get(MACHINE) == machine_id()
        return attributes.get(OWNER) == RELEASED or is_here or silent > PATIENCE * self.interval

    def trial(self, number: int) -> FrozenTrial:
        """The present state of a trial in the storage."""
        trials = self.study.get_trials(deepcopy=False)
        return next(trial for trial in trials if trial.number == number)


def machine_id() -> str:
    """Different for machines and for containers, whose locks and processes are not shared."""
    parts = [os.uname().nodename]
    for file in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            parts.append(os.readlink(file) if "/ns/" in file else Path(file).read_text().strip())
        except OSError:  # another system than Linux
            continue
    return "/".join(parts)
