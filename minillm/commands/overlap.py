"""Counts the test inputs that occur in the data on which a model was trained."""

import logging
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from minillm.commands.loading import seen_in_training
from minillm.config import DataConfig
from minillm.data.loaders import load_records
from minillm.data.records import Record, count_seen
from minillm.errors import InputError

log = logging.getLogger(__name__)


def count_test_inputs_in_training(
    test: Sequence[Record], data: DataConfig, details: dict[str, Any] | None
) -> int | None:
    """Count and log the test inputs that the training data of a run contain.

    Args:
        test: the test split.
        data: the settings with which `test` was read.
        details: `minillm.json` of the model, with the settings of its run; None without a run.

    Returns:
        The number; None if no run trained the model, or if its training data cannot be read. A Hub
        data set is read only if it is also the data set of the test split.
    """
    if not details or "config" not in details:
        return None
    names = {field.name for field in fields(DataConfig)}
    saved = details["config"]["data"]
    training_data = DataConfig(**{name: saved[name] for name in saved.keys() & names})
    if training_data.kind == "hub" and training_data.path != data.path:
        return None
    try:
        train = load_records(training_data, ["train"])["train"]
    except InputError as error:
        log.warning("test inputs in the training data are not counted: %s", error)
        return None
    seen = count_seen(test, train)
    log.log(logging.WARNING if seen else logging.INFO, seen_in_training("test", seen, len(test)))
    return seen
