"""The one shape that every family of tasks has: a function that draws a `Task`."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Task:
    """A task before its words are chosen.

    `instruction` and the plans of `answers`, the most usual first, are grammars (see `wording`),
    `input` is plain text. Every sentence of every plan is right. `combination` names the attributes
    whose joint occurrence decides whether the task is held out from training.
    """

    instruction: str
    input: str
    answers: tuple[str, ...]
    combination: tuple[str, ...]


Family = Callable[[Random], Task]
