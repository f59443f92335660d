"""Searches for settings: a study of trials, each of which is an ordinary run of `minillm train`.

`settings.py` reads what is varied, `worker.py` runs trials until the budget is used up. Any number
of workers share one study (`claims.py`). Optuna chooses the values and stores the trials.
"""
