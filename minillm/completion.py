"""Completion of command lines by the shell, with argcomplete.

    eval "$(register-python-argcomplete minillm)"    # bash and zsh, in the shell's start file

Verbs, options, names of settings, files of groups, words that a setting allows, and paths.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

from minillm.settings.groups import groups, sweeps


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell's question and end the command."""
    import argcomplete

    argcomplete.autocomplete(parser)


def complete_word(prefix: str, **_: object) -> Iterable[str]:
    """Completions of a word that may be a setting, a group, or a path."""
    from minillm.settings.types import allowed_words, settings_by_key

    key, equals, value = prefix.partition("=")
    if not equals:
        return [*(f"{name}=" for name in (*groups(), *settings_by_key())), *paths(prefix)]
    values = groups().get(key) or allowed_words(key)
    if key == "experiment" or not values:
        values = [*values, *paths(value)]
    return [f"{key}={name}" for name in values]


def complete_pruning(prefix: str, **_: object) -> Iterable[str]:
    """Completions of a word of `minillm prune`, which has settings of its own."""
    from minillm.arguments import settings_of_pruning

    return [*(f"{name}=" for name in settings_of_pruning()), *complete_word(prefix)]


def complete_judge(prefix: str, **_: object) -> Iterable[str]:
    """Completions of a word of `minillm judge`, whose settings no other verb has."""
    from dataclasses import fields

    from minillm.config import JudgeConfig

    return [*(f"judge.{field.name}=" for field in fields(JudgeConfig)), *paths(prefix)]


def complete_sweep(prefix: str, **_: object) -> Iterable[str]:
    """Completions of a word of `minillm sweep`, which may also name a ready sweep."""
    return [*(f"sweep={name}" for name in sweeps()), *complete_word(prefix)]


def complete_experiment(**_: object) -> Iterable[str]:
    """The names of all experiments."""
    return groups()["experiment"]


def paths(prefix: str) -> list[str]:
    """Files and folders whose path starts with `prefix`. Folders end with `/`."""
    parent, _, start = prefix.rpartition("/")
    folder = Path(parent or ("/" if prefix.startswith("/") else ".")).expanduser()
    if not folder.is_dir():
        return []
    beginning = prefix[: len(prefix) - len(start)]
    return [
        f"{beginning}{path.name}{'/' if path.is_dir() else ''}"
        for path in sorted(folder.iterdir())
        if path.name.startswith(start) and not path.name.startswith(".")
    ]
