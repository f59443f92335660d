"""Counts the test inputs that occur in the data on which a model was trained."""

import logging
from dataclasses import fields, replace

from minillm.commands.loading import seen_in_training
from minillm.commands.model_folder import ScoredModel
from minillm.commands.saved_settings import saved_settings
from minillm.config import DataConfig
from minillm.data.loaders import load_records
from minillm.data.records import count_seen
from minillm.errors import InputError

log = logging.getLogger(__name__)


def with_seen_inputs(scored: ScoredModel, data: DataConfig) -> ScoredModel:
    """Count and log the test inputs that occur in the training data of the run of a model.

    The number stays None if no run trained the model, or if the training data cannot be read. A Hub
    data set is read only if it is also the data set of the test split.

    Args:
        scored: the model and the test split.
        data: the settings with which the test split was read.
    """
    settings = saved_settings(scored.path)
    if settings is None:
        return scored
    names = {field.name for field in fields(DataConfig)}
    saved = settings["data"]
    training_data = DataConfig(**{name: saved[name] for name in saved.keys() & names})
    if training_data.kind == "hub" and training_data.path != data.path:
        return scored
    try:
        train = load_records(training_data, ["train"])["train"]
    except InputError as error:
        log.warning("test inputs in the training data are not counted: %s", error)
        return scored
    seen = count_seen(scored.test, train)
    level = logging.WARNING if seen else logging.INFO
    log.log(level, seen_in_training("test", seen, len(scored.test)))
    return replace(scored, seen_in_training=seen)
