"""Reads the settings of `minillm judge`."""

import os
from collections.abc import Sequence
from dataclasses import replace

from minillm.config import JudgeConfig
from minillm.errors import InputError
from minillm.servers.limits import check_prices
from minillm.settings.section import read_section

PREFIX = "judge."
MODEL = "MINILLM_JUDGE_MODEL"


def judge_settings(words: Sequence[str]) -> JudgeConfig:
    """The settings of the command line, without the environment.

    Raises:
        InputError: a value is not allowed, or settings contradict each other.
    """
    settings = read_section(JudgeConfig, words, "docs/judge.md", PREFIX)
    check_prices(settings)
    return settings


def with_model(settings: JudgeConfig) -> JudgeConfig:
    """The settings with the model of the environment, if the command line names none.

    Raises:
        InputError: neither names a model.
    """
    model = settings.model or os.environ.get(MODEL, "").strip()
    if not model:
        raise InputError(
            f"no model is given as the judge. Add judge.model=NAME, or set the environment "
            f"variable {MODEL}. NAME is a model of the server, such as gpt-4o."
        )
    return replace(settings, model=model)
