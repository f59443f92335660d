"""What ends a command early: it shows the message alone, without a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Something given from outside is wrong: the message says what, what is allowed, what to do."""


def unknown_name(kind: str, given: str, allowed: Iterable[str]) -> InputError:
    """The error for a name that is none of `allowed`, with the nearest valid one in front."""
    allowed = sorted(allowed)
    near = get_close_matches(given, allowed, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return InputError(f"unknown {kind} {given!r}.{hint} Allowed: {', '.join(allowed)}.")


def first_line(error: BaseException) -> str:
    """What a library says is wrong, without the rest of its advice and the closing mark."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(". :!")


class TrainingError(RuntimeError):
    """Training cannot go on: the message says why, what is kept and what to try."""


class Stopped(Exception):
    """A signal asked the run to stop, and it has: the message says where it goes on from."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number
