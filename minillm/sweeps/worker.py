"""A worker: runs trials of a study one after another until the budget is used up.

Any number of workers do so at once. Each takes the trials of dead workers first.
"""

import logging
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from optuna.study import Study
from optuna.trial import Trial, TrialState

from minillm.config import TrainingConfig
from minillm.errors import Stopped, TrainingError
from minillm.sweeps.claims import Claims, LostTrial
from minillm.sweeps.process import make_trainer
from minillm.sweeps.run import Running, StopWorker
from minillm.sweeps.samplers import make_pruner, make_sampler
from minillm.sweeps.settings import Sweep
from minillm.sweeps.space import suggest
from minillm.sweeps.status import ERROR, SURPLUS, count, progress_line, trials_of
from minillm.sweeps.study import locked
from minillm.sweeps.trial import run_trial

log = logging.getLogger(__name__)

WAIT = 1.0  # seconds between two looks for trials of dead workers
ASKING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


def work(sweep: Sweep, study: Study, training: TrainingConfig) -> None:
    """Run trials until the budget is used up and no trial runs any more.

    A worker without a trial waits for the other workers, so that it can continue the trial of one
    that dies.

    Args:
        sweep: the settings of the sweep.
        study: the study that `open_study` returns.
        training: the loop of the first trial.

    Raises:
        Stopped: a signal has stopped this worker. Its trial has a checkpoint.
        TrainingError: as many trials in a row have failed as `sweep.failures` says.
    """
    study.sampler = make_sampler(sweep)
    study.pruner = make_pruner(sweep.config, training)
    claims = Claims(study, sweep.folder, sweep.config.heartbeat)
    trainer = make_trainer(sweep.config.launcher, sweep.name)
    with stop_signals() as received:
        try:
            errors: list[str] = []  # of the failed trials in a row
            while trial := claim_trial(sweep, study, claims, received):
                error = run_and_free(Running(sweep, study, trial, claims, trainer,
                                             is_stopping=lambda: bool(received)))  # fmt: skip
                errors = [*errors, error] if error else []
                check_failures(sweep, errors)
        except StopWorker:
            raise Stopped(
                f"{received[0].name}: this worker has stopped. The same command continues the "
                f"sweep, and its unfinished trials from their checkpoints.",
                received[0],
            ) from None


def claim_trial(
    sweep: Sweep, study: Study, claims: Claims, received: list[signal.Signals]
) -> Trial | None:
    """The next trial of this worker, which waits while others run; None if all have ended.

    Raises:
        StopWorker: a signal was received while the worker waited.
    """
    is_waiting = False
    while True:
        trial = next_trial(sweep, study, claims)
        if trial is not None or not count(trials_of(study)).running:
            return trial
        if received:
            raise StopWorker
        if not is_waiting:
            log.info("%s. No trial is left to begin. This worker waits for others, and "
                     "continues the trials of dead ones.", progress_line(sweep, study))  # fmt: skip
            is_waiting = True
        time.sleep(WAIT)


def run_and_free(running: Running) -> str | None:
    """Run a trial, and free its lock; returns its error if it has failed.

    A stopped trial is left to the next worker.
    """
    number = running.trial.number
    text = ", ".join(f"{key}={value}" for key, value in running.trial.params.items())
    log.info("%s\ntrial %d: %s", progress_line(running.sweep, running.study), number, text)
    try:
        run_trial(running)
    except StopWorker:
        running.claims.release(running.trial)
        raise
    except LostTrial:
        log.warning("trial %d was taken by another worker, because this worker has shown no sign "
                    "of life for too long.", number)  # fmt: skip
        return None
    finally:
        running.claims.drop_lock()
    ended = running.claims.trial(number)
    if ended.state != TrialState.FAIL:
        return None
    error = ended.user_attrs.get(ERROR, "unknown")
    log.warning("trial %d has failed: %s", number, error)
    return error


def next_trial(sweep: Sweep, study: Study, claims: Claims) -> Trial | None:
    """The trial of a dead worker, or a new trial; None if the budget is used up.

    The lock of the sweep keeps the number of trials within the budget. A database that is shared
    without the folder may get a trial too many, which is marked and not run.
    """
    with locked(sweep.folder):
        for trial in claims.abandoned():
            if claims.take(trial):
                log.info("trial %d is continued: its worker has ended.", trial.number)
                return trial
        if is_used_up(sweep, study):
            return None
        trial = study.ask()
        limit = sweep.limit()
        if limit is not None and trial.number >= limit:
            trial.set_user_attr(SURPLUS, True)
            study.tell(trial, state=TrialState.FAIL)
            return None
        claims.take(trial)
        suggest(sweep.space, trial)  # inside of the lock, so that other samplers see the values
        return trial


def is_used_up(sweep: Sweep, study: Study) -> bool:
    """Whether no further trial may begin."""
    counts, limit = count(trials_of(study)), sweep.limit()
    hours = sweep.config.hours
    return (limit is not None and counts.begun >= limit) or (
        hours is not None and counts.hours >= hours
    )


def check_failures(sweep: Sweep, errors: Sequence[str]) -> None:
    """End the worker if as many trials in a row have failed as `sweep.failures` says.

    Args:
        sweep: the settings of the sweep.
        errors: the errors of the failed trials since the last trial that has not failed.

    Raises:
        TrainingError: the message has the last error.
    """
    most = sweep.config.failures
    if most is not None and len(errors) >= most:
        raise TrainingError(
            f"this worker has ended after {len(errors)} failed trials in a row "
            f"(sweep.failures={most}). The last error is: {errors[-1]}. Correct the cause, or "
            f"raise sweep.failures. The same command then continues the sweep with the next trial."
        )


@contextmanager
def stop_signals() -> Iterator[list[signal.Signals]]:
    """Inside, the first signal is only noted. A second signal has its usual effect."""
    received: list[signal.Signals] = []
    before = {number: signal.getsignal(number) for number in ASKING}

    def note(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in ASKING:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
