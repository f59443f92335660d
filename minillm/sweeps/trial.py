"""One trial: a run per seed, and the means of their scores."""

import math
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from minillm.errors import InputError, TrainingError
from minillm.sweeps.claims import LostTrial
from minillm.sweeps.run import Pruned, Running, run_seed
from minillm.sweeps.settings import SECONDS
from minillm.sweeps.space import suggest
from minillm.sweeps.status import ERROR, REASON


def run_trial(running: Running) -> None:
    """Run a trial until it is complete, pruned or failed, and tell the study.

    Raises:
        StopWorker: a signal has stopped the trial, which another worker may continue.
        LostTrial: another worker has taken the trial, or has ended it.
    """
    try:
        _run_and_tell(running)
    except UpdateFinishedTrialError as error:
        raise LostTrial from error


def _run_and_tell(running: Running) -> None:
    trial = running.trial
    values = suggest(running.sweep.space, trial)
    try:
        summaries = [run_seed(running, values, seed) for seed in running.sweep.config.seeds]
        scores = [mean_score(name, summaries) for name in running.sweep.config.objectives]
        running.study.tell(trial, scores, skip_if_finished=True)
    except Pruned as reason:
        trial.set_user_attr(REASON, str(reason))
        running.study.tell(trial, state=TrialState.PRUNED)
    except (TrainingError, InputError) as error:  # InputError: values that do not fit together
        trial.set_user_attr(ERROR, str(error))
        running.study.tell(trial, state=TrialState.FAIL)


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
