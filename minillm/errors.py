"""Errors that end a command. The command prints their message without a traceback.

`status` is the exit status of the command.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """An input is wrong. The message says what was given, what is allowed and what to do."""

    status = 2


def unknown_name(kind: str, name: str, allowed: Iterable[str]) -> InputError:
    """The error for a name that is not in `allowed`. The message suggests the nearest name."""
    allowed = sorted(allowed)
    nearest = get_close_matches(name, allowed, n=1)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return InputError(f"unknown {kind} {name!r}.{hint} Allowed: {', '.join(allowed)}.")


def unknown_file(group: str, name: str, allowed: Iterable[str]) -> InputError:
    """The error for a file that a config group does not have.

    The message suggests all files with this last part, as `experiment=kd` may mean `e2e/kd` and
    `paper/kd`; without such a file, the nearest name.
    """
    same_part = [file for file in sorted(allowed) if file.rpartition("/")[2] == name]
    if not same_part:
        return unknown_name(group, name, allowed)
    return InputError(f"unknown {group} {name!r}. Did you mean {' or '.join(same_part)}?")


def first_line(error: BaseException) -> str:
    """The first line of a library's error message, without the punctuation at its end."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(". :!")


class TrainingError(RuntimeError):
    """Training cannot continue. The message says why, what is kept and what to try."""

    status = 3


class ServerError(RuntimeError):
    """A server does not answer. The message says why, what is kept and what to do."""

    status = 69


class WriteError(RuntimeError):
    """A file could not be written. The message says why, and what is kept."""

    status = 74


class Stopped(Exception):
    """A signal has stopped the run. The message says from where the run can continue."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number
