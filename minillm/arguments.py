"""Reads the words of a command line: models, settings and options in any order."""

import argparse
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from minillm.errors import InputError, unknown_name
from minillm.folders import expand_home
from minillm.settings.groups import SETTINGS_SUFFIXES

# The words and options that may be paths.
PATHS = {"words", "reported", "diversity", "output", "export", "export_wandb", "throughput",
         "config", "file"}  # fmt: skip


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line that names the nearest option."""

    def error(self, message: str) -> NoReturn:
        unknown = re.match(r"unrecognized arguments: (-[\w-]*)", message)
        if unknown:
            message = f"unknown option {unknown[1]}.{self._hint(unknown[1])}"
        else:
            message += "."
        raise InputError(f"{message} `{self.prog} --help` lists all options.")

    def _hint(self, option: str) -> str:
        from minillm.settings.types import settings_by_key

        name = option.lstrip("-").replace("-", "_")
        keys = [key for key in settings_by_key() if key.rpartition(".")[2] == name]
        if keys:
            return f" A setting is key=value without dashes: {' or '.join(keys)}."
        options = re.findall(r"--\w+", self.format_usage())
        nearest = get_close_matches(option, options, n=1)
        return f" Did you mean {nearest[0]}?" if nearest else ""


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Models or paths, and settings. A word with `=` is a setting, unless a `/` is before the `=`.

    So `runs/a=b` and `./a=b` are folders.
    """
    settings = [word for word in words if "=" in word and "/" not in word.partition("=")[0]]
    return [word for word in words if word not in settings], settings


def expand_paths(parsed: argparse.Namespace) -> None:
    """Replace `~` at the start of paths by the home folder.

    A shell replaces it in `--output ~/x`, but not in `--output=~/x`.
    """
    for name in PATHS & vars(parsed).keys():
        value = getattr(parsed, name)
        if isinstance(value, list):
            setattr(parsed, name, [expand_home(path) for path in value])
        elif value:
            setattr(parsed, name, expand_home(value))


def sort_words(parsed: argparse.Namespace) -> None:
    """Replace `words` by the models, paths and settings that the verb takes.

    Raises:
        InputError: the verb takes another number of models or files.
    """
    others, settings = split_words(parsed.words)
    if parsed.verb in ("train", "sweep", "plan", "data", "data prepare", "show"):
        parsed.overrides = parsed.words
    elif parsed.verb in ("evaluate", "generate", "chat"):
        parsed.models = others
        parsed.overrides = settings
        _check_models(parsed.verb, others, settings)
    elif parsed.verb == "export":
        parsed.overrides = settings
        _read_model_and_folder(parsed, others, "minillm export MODEL OUTPUT")
    elif parsed.verb == "prune":
        names = settings_of_pruning()
        parsed.pruning = [word for word in settings if word.partition("=")[0] in names]
        parsed.overrides = [word for word in settings if word not in parsed.pruning]
        _read_model_and_folder(parsed, others, "minillm prune MODEL OUTPUT layers=12")
    elif parsed.verb == "system2":
        _read_step(parsed, others, settings)
    elif parsed.verb == "judge":
        parsed.paths, parsed.settings = others, settings
        if not all(others) or not others:
            raise InputError(
                "no result is given. Give runs, folders of runs or result files, such as `minillm "
                "judge runs/minillm judge.model=gpt-4o`."
            )
    elif parsed.verb == "report sweep":
        parsed.paths = parsed.words
        if len(parsed.words) != 1:
            raise InputError(
                f"report sweep takes one folder, but {len(parsed.words)} are given. Write "
                f"`minillm report sweep runs/lr --output results/lr`. (A folder named sweep is "
                f"written ./sweep.)"
            )
    elif parsed.verb == "report":
        numbers = [word for word in parsed.diversity or () if _is_number(word)]
        paths = parsed.words + [word for word in parsed.diversity or () if word not in numbers]
        parsed.paths, parsed.diversity = paths, [float(word) for word in numbers] or None
        _check_paths(parsed.verb, paths)
    elif parsed.verb == "report paper":
        parsed.paths = parsed.words
        _check_paths(parsed.verb, parsed.paths)
    if parsed.verb not in ("train", "evaluate", "report", "report paper", "report sweep"):
        for word in settings:
            if word.startswith("dry_run="):
                raise InputError(
                    f"{word} has no effect on {parsed.verb}: only train and evaluate have a dry "
                    f"run. Leave {word} out."
                )
    if getattr(parsed, "config", None):
        _check_config(parsed.config)
        parsed.overrides = [f"experiment={parsed.config}", *parsed.overrides]


def _read_model_and_folder(parsed: argparse.Namespace, words: list[str], example: str) -> None:
    if len(words) != 2 or not all(words):
        raise InputError(
            f"{parsed.verb} takes a model and a new folder, but {len(words)} words without `=` are "
            f"given. Write {example}."
        )
    parsed.model, parsed.output = words


def _read_step(parsed: argparse.Namespace, words: list[str], settings: list[str]) -> None:
    from minillm.cli import SYSTEM2_STEPS

    step = words[0] if words else None
    if step is None:
        raise InputError(f"system2 needs a step: {', '.join(SYSTEM2_STEPS)}.")
    if step not in SYSTEM2_STEPS:
        raise unknown_name("step of system2", step, SYSTEM2_STEPS)
    parsed.step, parsed.models, parsed.overrides = step, words[1:], settings
    if (step == "report") != bool(parsed.output):
        raise InputError(
            "system2 report needs --output FOLDER, such as results/mine."
            if step == "report"
            else f"system2 {step} writes to output=FOLDER, and only report has --output."
        )
    if step == "report" and (settings or not parsed.models):
        raise InputError(
            "system2 report takes folders of tasks, such as `minillm system2 report "
            "runs/system2/last_letters --output results/mine`."
        )


def settings_of_pruning() -> list[str]:
    """The settings that only `minillm prune` has; they have no section."""
    from dataclasses import fields

    from minillm.config import PruningConfig

    return [field.name for field in fields(PruningConfig)]


def _check_models(verb: str, models: list[str], settings: list[str]) -> None:
    if not all(models) or not models:
        for word in settings:
            if Path(word).exists():
                raise InputError(
                    f"no model is given, because {word} is read as a setting. Write ./{word} for "
                    f"the folder."
                )
        raise InputError(
            "no model is given. Give the folder of a run, the folder of a model, or a Hub name."
        )
    if verb == "chat" and len(models) > 2:
        raise InputError(
            f"chat takes one or two models, but {len(models)} are given: {', '.join(models)}. Give "
            f"the model, and another one to compare it with."
        )
    if verb == "generate" and len(models) > 1:
        raise InputError(
            f"generate takes one model, but {len(models)} are given: {', '.join(models)}. Give one "
            f"model, settings as key=value, and prompts as --prompt TEXT."
        )


def _check_paths(verb: str, paths: list[str]) -> None:
    if not paths:
        raise InputError(
            f"no path is given. Give runs, folders of runs or result files, such as `minillm "
            f"{verb} runs --output results/mine`."
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
