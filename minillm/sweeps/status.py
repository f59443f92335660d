"""How far a study is: its trials by state, the best of them, and the time that is left."""

from collections.abc import Sequence
from dataclasses import dataclass

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from minillm.progress import duration
from minillm.sweeps.settings import Sweep

# Attributes of trials: seconds of all starts, seconds saved by what trials share, the error of a
# failed trial, why a trial was pruned, and the mark of a trial beyond the budget, which never ran.
SPENT, SAVED, ERROR, REASON, SURPLUS = "seconds", "saved", "error", "reason", "surplus"


@dataclass(frozen=True)
class Counts:
    """How many trials of a study are in which state.

    Attributes:
        begun: all trials.
        complete, running, pruned, failed: their states.
        hours: the hours of all trials together.
    """

    begun: int
    complete: int
    running: int
    pruned: int
    failed: int
    hours: float


def trials_of(study: Study) -> list[FrozenTrial]:
    """All trials that belong to the budget."""
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if SURPLUS not in trial.user_attrs]


def seconds_of(trial: FrozenTrial) -> float:
    """Seconds that a trial has run, over all of its starts."""
    return float(trial.user_attrs.get(SPENT, 0.0))


def count(trials: Sequence[FrozenTrial]) -> Counts:
    """Count trials by their states."""
    states = [trial.state for trial in trials]
    return Counts(
        begun=len(trials),
        complete=states.count(TrialState.COMPLETE),
        running=states.count(TrialState.RUNNING),
        pruned=states.count(TrialState.PRUNED),
        failed=states.count(TrialState.FAIL),
        hours=sum(map(seconds_of, trials)) / 3600,
    )


def progress_line(sweep: Sweep, study: Study) -> str:
    """The best trial so far, the trials by state, and the time that is left."""
    trials = trials_of(study)
    counts, limit = count(trials), sweep.limit()
    of = f" of {limit}" if limit is not None else ""
    done = counts.complete + counts.pruned + counts.failed
    parts = [_best(sweep, study), f"{done}{of} trials done", f"{counts.running} running",
             f"{counts.pruned} pruned", f"{counts.failed} failed"]  # fmt: skip
    left = seconds_left(sweep, trials)
    parts += [f"about {duration(left)} left"] if left is not None else []
    return f"{sweep.name}: {', '.join(part for part in parts if part)}"


def seconds_left(sweep: Sweep, trials: Sequence[FrozenTrial]) -> float | None:
    """An estimate for the present number of workers; None before the first trial has finished."""
    counts, limit = count(trials), sweep.limit()
    seconds = [seconds_of(trial) for trial in trials if trial.state.is_finished()]
    if not seconds:
        return None
    mean, workers = sum(seconds) / len(seconds), max(counts.running, 1)
    lefts = []
    if limit is not None:
        lefts.append((limit - len(seconds)) * mean / workers)
    if sweep.config.hours is not None:
        lefts.append((sweep.config.hours - counts.hours) * 3600 / workers)
    return max(min(lefts), 0.0) if lefts else None


def _best(sweep: Sweep, study: Study) -> str:
    complete = [trial for trial in trials_of(study) if trial.state == TrialState.COMPLETE]
    if not complete:
        return "no trial is complete"
    names = sweep.config.objectives
    if len(names) > 1:
        return f"{len(study.best_trials)} best trials"
    best = study.best_trial
    return f"best {names[0]} {best.value:.4g} (trial {best.number})"
