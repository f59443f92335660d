"""The stored settings of results, and whether results are training runs with the same settings."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minillm.config import TrainingConfig
from minillm.evaluation.result import Result
from minillm.model_paths import run_folder
from minillm.settings.rules import settings_of


def training_of(result: Result) -> dict[str, Any]:
    """The stored settings of the training; empty if there are none."""
    return (result.training and result.training.config) or {}


def have_same_settings(results: Sequence[Result]) -> bool:
    """Whether training runs have the same method, teacher and settings of the training.

    Older results have no settings of the training. Then the numbers of steps are compared.
    """
    is_stored = all("training" in training_of(result) for result in results)
    return len({_compared(result, is_stored) for result in results}) == 1


def _compared(result: Result, is_stored: bool) -> str:
    """What training runs with different seeds must have in common, as a text."""
    config = training_of(result)
    method = dict(config.get("method") or {})
    method.pop("file", None)  # responses of the teacher, which each seed may have of its own
    steps = result.training and result.training.steps
    training = _lasting(config["training"]) if is_stored else {"steps": steps}
    path = setting_of(config, "teacher.path")
    return json.dumps([method, training, path and identity_of(path)], sort_keys=True)


def _lasting(training: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the training that affect its result, without those that a run may change."""
    may_change = {each.key for each in settings_of(TrainingConfig()) if each.rules.may_change}
    return {name: value for name, value in training.items() if name not in may_change}


def identity_of(path: str) -> str:
    """The resolved folder of the run, or of the model if no run contains it. Hub names are kept."""
    folder = Path(path).resolve()
    return str(run_folder(folder) or folder)


def setting_of(config: Mapping[str, Any] | None, key: str) -> Any:
    """A setting by its dotted name; None if it is not stored."""
    section, _, name = key.partition(".")
    return ((config or {}).get(section) or {}).get(name)
