"""Chooses settings by the size of the student, as `training.by_size` specifies."""

import logging
from dataclasses import replace

from minillm.commands.loading import max_length
from minillm.config import Config
from minillm.models.size import count_parameters

log = logging.getLogger(__name__)


def with_settings_for_size(config: Config) -> Config:
    """The settings, where `training.lr` and `training.epochs` suit the size of the student.

    Of the entries that the student reaches, the entry of the largest models is used. The result has
    an empty `training.by_size`, so that its settings do not depend on the student any more.

    Raises:
        InputError: the student is not a causal language model.
    """
    training, student = config.training, config.student
    if not training.by_size or (student.path is None and student.architecture is None):
        return config
    parameters = count_parameters(student, max_length(config))
    reached = [entry for entry in training.by_size if parameters >= entry.at_least]
    values = {}
    if reached:
        entry = max(reached, key=lambda entry: entry.at_least)
        # Without `training.epochs`, the command line sets the number of steps.
        chosen = {"lr": entry.lr, "epochs": training.epochs and entry.epochs}
        values = {name: value for name, value in chosen.items() if value is not None}
    training = replace(training, by_size=[], **values)
    log.info(
        "the student has %s parameters: training.lr=%g, training.epochs=%s",
        f"{parameters:,}", training.lr, training.epochs,
    )  # fmt: skip
    return replace(config, training=training)
