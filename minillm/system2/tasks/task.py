"""`Task`: a kind of question that the project makes, and how a good model answers it."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from minillm.system2.question import Question

Responses = list[list[str]]  # the responses of each round of calls


@dataclass(frozen=True)
class Task:
    """A kind of question.

    Attributes:
        name: the name of the task.
        question: draws a question of a split, without an id. Questions of `test` have other names
            and other wordings than those of the other splits.
        demonstrate: the responses that a good model gives in each round of calls of a program; None
            if the program makes no sense for the task. It reads nothing but the question.
        program: the program that suits the task best.
        extractor: the kind of the answer: text, word, yes_no, choice, number or letters.
        other_programs: programs that `demonstrate` knows, too, beside `direct`.
    """

    name: str
    question: Callable[[Random, str], Question]
    demonstrate: Callable[[Question, str], Responses | None]
    program: str
    extractor: str
    other_programs: tuple[str, ...] = ()

    @property
    def programs(self) -> tuple[str, ...]:
        """All programs of several steps that a good model can follow for this task."""
        return (self.program, *self.other_programs)
