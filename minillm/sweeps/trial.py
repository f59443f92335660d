"""One trial: a training per seed, watched at each validation, and the mean of their scores."""

import math
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import Trial, TrialState

from minillm.errors import TrainingError
from minillm.model_paths import SUMMARY
from minillm.sweeps.claims import Claims, LostTrial
from minillm.sweeps.process import (
    STOPPED,
    error_text,
    kill,
    read_metrics,
    read_summary,
    start_training,
    stop,
)
from minillm.sweeps.settings import SECONDS, Sweep
from minillm.sweeps.space import suggest, word
from minillm.sweeps.status import ERROR, REASON, SPENT
from minillm.sweeps.watch import Line, degeneration

POLL = 0.5  # seconds between two looks at a training
STARTS = "starts"  # the attribute of a trial with the number of metric lines at each start
FRUITLESS = 3  # starts without progress after which an interrupted trial counts as failed


class StopWorker(Exception):
    """A signal asks the worker to stop."""


class Pruned(Exception):
    """A rule has stopped the trial. The message says why."""


@dataclass(frozen=True)
class Running:
    """A trial that this worker runs.

    Attributes:
        sweep: the settings.
        study: the study.
        trial: the trial.
        claims: the worker's claim of the trial.
        steps: steps of each run, if the settings name them.
        is_stopping: whether a signal has asked the worker to stop.
    """

    sweep: Sweep
    study: Study
    trial: Trial
    claims: Claims
    steps: int | None
    is_stopping: Callable[[], bool]

    @property
    def folder(self) -> Path:
        return self.sweep.folder / "trials" / str(self.trial.number)

    @property
    def log(self) -> Path:
        return self.sweep.folder / "logs" / f"{self.trial.number}.txt"

    def run_folder(self, seed: int) -> Path:
        """The folder of the run with a seed: that of the trial if the trial has one seed."""
        return self.folder / f"seed-{seed}" if len(self.sweep.config.seeds) > 1 else self.folder


def run_trial(running: Running) -> None:
    """Run a trial until it is complete, pruned or failed, and tell the study.

    Raises:
        StopWorker: a signal has stopped the trial, which another worker may continue.
        LostTrial: another worker has taken the trial.
    """
    trial = running.trial
    values = suggest(running.sweep.space, trial)
    try:
        summaries = [run_seed(running, values, seed) for seed in running.sweep.config.seeds]
        scores = [mean_score(name, summaries) for name in running.sweep.config.objectives]
        running.study.tell(trial, scores)
    except Pruned as reason:
        trial.set_user_attr(REASON, str(reason))
        running.study.tell(trial, state=TrialState.PRUNED)
    except TrainingError as error:
        trial.set_user_attr(ERROR, str(error))
        running.study.tell(trial, state=TrialState.FAIL)


def run_seed(running: Running, values: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train with one seed, from the newest checkpoint if there is one; returns the summary.

    Raises:
        Pruned: a rule has stopped the run.
        TrainingError: the training has failed.
    """
    run = running.run_folder(seed)
    words = [*running.sweep.words(dict(values)), word("runtime.seed", seed), word("output", run),
             "resume=auto"]  # fmt: skip
    is_first = seed == running.sweep.config.seeds[0]
    while True:
        summary = read_summary(run)
        if summary is not None:  # now, or before the trial was interrupted
            _judge(running, run, 0, is_first)
            return summary
        if running.is_stopping():
            raise StopWorker
        _note_start(running, run)
        process = start_training(words, log=running.log, launcher=running.sweep.config.launcher,
                                 group=running.sweep.name, lock=running.claims.lock)  # fmt: skip
        status = _watch(running, process, run, is_first)
        if status == 0 and not (run / SUMMARY).is_file():
            raise TrainingError(f"{run} has no {SUMMARY}, but its training ended without error")
        if status > 0 and status not in STOPPED:
            raise TrainingError(error_text(running.log, status))
        if running.is_stopping():  # the same signal has stopped the training
            raise StopWorker


def _note_start(running: Running, run: Path) -> None:
    """Count the starts, and give up if the last ones brought no progress."""
    starts = [*running.trial.user_attrs.get(STARTS, []), f"{run.name}: {len(read_metrics(run))}"]
    if starts[-1:] * (FRUITLESS + 1) == starts[-FRUITLESS - 1 :]:
        raise TrainingError(
            f"the training was interrupted {FRUITLESS} times without progress: see {running.log}"
        )
    running.trial.set_user_attr(STARTS, starts)


def _watch(running: Running, process: subprocess.Popen, run: Path, is_first: bool) -> int:
    """Wait for the end of a training, and stop it if a rule says so; returns its exit status."""
    before = float(running.trial.user_attrs.get(SPENT, 0.0))
    start = time.monotonic()
    judged = 0
    try:
        while True:
            status = process.poll()  # before the metrics are read, so that none are missed
            running.claims.beat(running.trial)
            judged = _judge(running, run, judged, is_first)
            if running.is_stopping():
                raise StopWorker
            if status is not None:
                return status
            time.sleep(POLL)
    except (Pruned, StopWorker):
        stop(process)
        raise
    except BaseException:
        kill(process)
        raise
    finally:
        try:
            running.trial.set_user_attr(SPENT, before + time.monotonic() - start)
        except UpdateFinishedTrialError as error:
            raise LostTrial from error


def _judge(running: Running, run: Path, judged: int, is_first: bool) -> int:
    """Judge the new lines of a run's metrics, in order; returns the number of judged lines.

    The decision depends on the lines only, and not on when this worker reads them: a run that has
    gone on meanwhile is pruned, too.

    Raises:
        Pruned: the pruner or a rule of `sweep.watch` stops the trial.
    """
    lines = read_metrics(run)
    for number in range(judged, len(lines)):
        is_last = lines[number]["step"] == running.steps  # nothing would be saved
        if is_first:
            _compare(running, lines[number], is_last)
        reason = degeneration(lines[: number + 1], running.sweep.config.watch)
        if reason and not is_last:
            raise Pruned(f"{reason} (step {lines[number]['step']})")
    return len(lines)


def _compare(running: Running, line: Line, is_last: bool) -> None:
    """Report a validation to Optuna's pruner, which compares trials by one score.

    Raises:
        Pruned: the pruner stops the trial.
    """
    names, trial = running.sweep.config.objectives, running.trial
    value, step = line.get(f"validation/{names[0]}"), line["step"]
    if value is None or len(names) > 1:
        return
    if step not in running.claims.trial(trial.number).intermediate_values:
        trial.report(value, step)
    if not is_last and trial.should_prune():
        raise Pruned(f"{names[0]} {value:.4g} at step {step} is too low for the pruner "
                     f"{running.sweep.config.pruner}")  # fmt: skip


def mean_score(objective: str, summaries: list[dict[str, Any]]) -> float:
    """The mean of an objective over runs: of the best checkpoint, or the seconds of training.

    Raises:
        TrainingError: a run has no such score.
    """
    scores = [
        summary["seconds"]["training"] if objective == SECONDS else summary["best"].get(objective)
        for summary in summaries
    ]
    if any(score is None or not math.isfinite(score) for score in scores):
        raise TrainingError(
            f"the best validation has no {objective}. It has "
            f"{', '.join(key for key, value in summaries[0]['best'].items() if value is not None)}"
        )
    return sum(scores) / len(scores)
