"""One run of a trial: a training that is started, watched at each validation, and continued."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.study import Study
from optuna.trial import Trial

from minillm.compose import load_config
from minillm.errors import TrainingError
from minillm.files import read_json
from minillm.model_paths import METRICS, SUMMARY
from minillm.sweeps.claims import Claims
from minillm.sweeps.process import STOPPED, Trainer, error_text, size_of
from minillm.sweeps.responses import Responses, shared_responses
from minillm.sweeps.settings import Sweep
from minillm.sweeps.space import word
from minillm.sweeps.status import SAVED, SPENT
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
        trainer: trains the runs.
        is_stopping: whether a signal has asked the worker to stop.
    """

    sweep: Sweep
    study: Study
    trial: Trial
    claims: Claims
    trainer: Trainer
    is_stopping: Callable[[], bool]

    @property
    def log(self) -> Path:
        return self.sweep.folder / "logs" / f"{self.trial.number}.txt"

    def folder(self, seed: int) -> Path:
        """The folder of the run with a seed: that of the trial if the trial has one seed."""
        trial = self.sweep.folder / "trials" / str(self.trial.number)
        return trial / f"seed-{seed}" if len(self.sweep.config.seeds) > 1 else trial

    def add_seconds(self, attribute: str, seconds: float) -> None:
        """Add seconds to an attribute of the trial."""
        before = float(self.trial.user_attrs.get(attribute, 0.0))
        self.trial.set_user_attr(attribute, before + seconds)


@dataclass(frozen=True)
class Run:
    """One run of a trial.

    Attributes:
        folder: the folder of the run.
        words: the words of `minillm train`.
        is_first: whether Optuna's pruner compares this run with those of other trials.
        steps: number of steps, if the settings name it.
        responses: the teacher's responses of SeqKD; None for other methods.
    """

    folder: Path
    words: list[str]
    is_first: bool
    steps: int | None
    responses: Responses | None


def make_run(running: Running, values: dict[str, Any], seed: int) -> Run:
    """The run of a trial with a seed."""
    sweep, folder = running.sweep, running.folder(seed)
    words = [*sweep.words(values), word("runtime.seed", seed), word("output", folder),
             "resume=auto"]  # fmt: skip
    config = load_config(words)
    given = sweep.fixed.get("method.file", "").partition("=")[2] or None
    responses = shared_responses(config, sweep.folder, seed, given)
    if responses:
        words.append(word("method.file", responses.path))
    return Run(folder, words, seed == sweep.config.seeds[0], config.training.steps, responses)


def run_seed(running: Running, values: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train with one seed, from the newest checkpoint if there is one; returns the summary.

    Raises:
        Pruned: a rule has stopped the run.
        TrainingError: the training has failed.
        StopWorker: a signal was received.
        LostTrial: another worker has taken the trial.
        UpdateFinishedTrialError: another worker has ended the trial.
    """
    run = make_run(running, values, seed)
    while True:
        summary = read_json(run.folder / SUMMARY)
        if summary is not None:  # now, or before the trial was interrupted
            return summary
        _note_start(running, run)
        if run.responses:
            _wait_for(running, run.responses, is_new=not run.folder.exists())
        begin = size_of(running.log)
        status = _train(running, run)
        if status == 0 and not (run.folder / SUMMARY).is_file():
            raise TrainingError(f"{run.folder} has no {SUMMARY}, but the training ended normally")
        # A launcher ends with 128 + N if the signal N has ended its training.
        if 0 < status <= 128 and status not in STOPPED:
            raise TrainingError(error_text(running.log, begin, status))


def _note_start(running: Running, run: Run) -> None:
    """Count the starts, and give up if the last ones brought no progress."""
    if running.is_stopping():
        raise StopWorker
    place = f"{run.folder.name}: {len(read_metrics(run.folder))}"
    starts = [*running.trial.user_attrs.get(STARTS, []), place]
    if starts[-1:] * (FRUITLESS + 1) == starts[-FRUITLESS - 1 :]:
        raise TrainingError(
            f"the training was interrupted {FRUITLESS} times without progress: see {running.log}"
        )
    running.trial.set_user_attr(STARTS, starts)


def _wait_for(running: Running, responses: Responses, is_new: bool) -> None:
    """Wait until the teacher's responses are complete, or until nobody else writes them."""
    while not responses.is_complete():
        if responses.take():
            return
        if running.is_stopping():
            raise StopWorker
        running.claims.beat(running.trial)
        time.sleep(POLL)
    if is_new:
        running.add_seconds(SAVED, responses.seconds())


def _train(running: Running, run: Run) -> int:
    """Train until the end, or until a rule stops the training; returns its exit status."""
    trainer, responses, judged, start = running.trainer, run.responses, 0, time.monotonic()
    locks = (running.claims.lock, responses.lock if responses else None)
    trainer.start(run.words, running.log, [lock for lock in locks if lock is not None])
    try:
        while True:
            status = trainer.poll()  # before the metrics are read, so that none are missed
            running.claims.beat(running.trial)
            if responses:
                responses.look()
            judged = judge(running, run, judged, status == 0)
            if running.is_stopping():
                raise StopWorker
            if status is not None:
                running.add_seconds(SAVED, trainer.saved())
                return status
            time.sleep(POLL)
    except (Pruned, StopWorker):
        trainer.stop()
        raise
    except BaseException:
        trainer.kill()
        raise
    finally:
        if responses:
            responses.free()
        running.add_seconds(SPENT, time.monotonic() - start)


def judge(running: Running, run: Run, judged: int, has_ended: bool) -> int:
    """Judge the new lines of a run's metrics, in order; returns the number of judged lines.

    The decision does not depend on when this worker reads the lines: a run that has gone on
    meanwhile is pruned, too. The last line of a run never prunes it. If the settings do not name
    the number of steps, the newest step may be the last one, and is judged after the next one or
    after the end of the training.

    Args:
        running: the trial.
        run: the run.
        judged: number of lines that were judged before.
        has_ended: whether the training has ended normally.

    Raises:
        Pruned: the pruner or a rule of `sweep.watch` stops the trial.
    """
    lines = read_metrics(run.folder)
    last_step = run.steps if run.steps or not lines else lines[-1]["step"]
    is_open = run.steps is None and not has_ended
    ready = sum(not is_open or line["step"] != last_step for line in lines)
    for number in range(judged, ready):
        is_last = lines[number]["step"] == last_step  # nothing would be saved
        if run.is_first:
            _compare(running, lines[number], is_last)
        reason = degeneration(lines[: number + 1], running.sweep.config.watch)
        if reason and not is_last:
            raise Pruned(f"{reason} (step {lines[number]['step']})")
    return max(ready, judged)


def _compare(running: Running, line: Line, is_last: bool) -> None:
    """Report a validation to Optuna's pruner, which compares trials by one score.

    The pruner judges the last step of a trial, so it is asked only about a step that is new to it.
    A training that continues was not pruned at the steps that were reported before. The pruner
    compares the best score of a trial so far. The score before the first step is not reported: it
    is that of the start of all trials, and would hide that a trial becomes worse.

    Raises:
        Pruned: the pruner stops the trial.
    """
    names, trial = running.sweep.config.objectives, running.trial
    value, step = line.get(f"validation/{names[0]}"), line["step"]
    if value is None or step == 0 or len(names) > 1:
        return
    if step in running.claims.trial(trial.number).intermediate_values:
        return
    trial.report(value, step)
    if not is_last and trial.should_prune():
        raise Pruned(f"the pruner {running.sweep.config.pruner} has stopped the trial: {names[0]} "
                     f"was {value:.4g} at step {step}")  # fmt: skip


def read_metrics(folder: Path) -> list[Line]:
    """The lines of metrics.jsonl of a run, without a last line that is not complete yet."""
    path = folder / METRICS
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]
