"""The interface of a family of tasks: a function that draws a `Task`."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Task:
    """A task whose words are not chosen yet.

    `instruction` and the elements of `answers` are grammars (see `wording`), and `input` is plain
    text. `answers` begins with the most frequent grammar, and every sentence of every grammar is a
    correct answer. `combination` contains the attributes that together decide whether the task is
    held out from training.
    """

    instruction: str
    input: str
    answers: tuple[str, ...]
    combination: tuple[str, ...]


Family = Callable[[Random], Task]
