"""Reads the words of a command line: models, settings and options in any order."""

import argparse
from collections.abc import Sequence

from minillm.config_files import SETTINGS_SUFFIXES
from minillm.errors import InputError
from minillm.folders import expand_home


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Models or paths, and settings. A word with `=` is a setting, unless a `/` is before the `=`.

    So `runs/a=b` and `./a=b` are folders.
    """
    settings = [word for word in words if "=" in word and "/" not in word.partition("=")[0]]
    return [word for word in words if word not in settings], settings


def sort_words(parsed: argparse.Namespace) -> None:
    """Replace `words` by the models, paths and settings that the verb takes.

    Raises:
        InputError: the verb takes another number of models or files.
    """
    others, settings = split_words(parsed.words)
    if parsed.verb in ("train", "data", "show"):
        parsed.overrides = parsed.words
    elif parsed.verb in ("evaluate", "generate"):
        parsed.models = [expand_home(word) for word in others]
        parsed.overrides = settings
        _check_models(parsed.verb, others)
    elif parsed.verb == "report":
        numbers = [word for word in parsed.diversity or () if _is_number(word)]
        paths = parsed.words + [word for word in parsed.diversity or () if word not in numbers]
        parsed.paths, parsed.diversity = paths, [float(word) for word in numbers] or None
        if not paths:
            raise InputError(
                "no path is given. Give runs, folders of runs or result files, such as "
                "`minillm report runs --output results/mine`."
            )
    if parsed.verb in ("generate", "data", "show"):
        for word in settings:
            if word.startswith("dry_run="):
                raise InputError(
                    f"{word} has no effect on {parsed.verb}: only train and evaluate have a dry "
                    f"run. Leave {word} out."
                )
    if getattr(parsed, "config", None):
        _check_config(parsed.config)
        parsed.overrides = [f"experiment={parsed.config}", *parsed.overrides]


def _check_models(verb: str, models: list[str]) -> None:
    if not models:
        raise InputError(
            "no model is given. Give the folder of a run, the folder of a model, or a Hub name."
        )
    if verb == "generate" and len(models) > 1:
        raise InputError(
            f"generate takes one model, but {len(models)} are given: {', '.join(models)}. Give one "
            f"model, settings as key=value, and prompts as --prompt TEXT."
        )


def _check_config(file: str) -> None:
    if not file.endswith(SETTINGS_SUFFIXES):
        raise InputError(
            f"--config {file} is not the name of a yaml file. Give the config.yaml of a run, or a "
            f"file that `minillm copy EXPERIMENT FILE.yaml` has written."
        )


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
