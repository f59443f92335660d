"""Optuna: the trial of a number, as an object that can be continued.

A worker continues the trials of dead workers. Optuna gives such objects only for new trials
(`Study.ask`), and its own retry begins another trial with another number.
"""

from optuna.study import Study
from optuna.trial import Trial


def unfinished_trial(study: Study, number: int) -> Trial:
    """A trial that has begun and not ended, with the values that it already has."""
    storage = study._storage
    return Trial(study, storage.get_trial_id_from_study_id_trial_number(study._study_id, number))
