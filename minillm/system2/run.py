"""Runs programs on many questions at once: all calls that are ready are made in one batch."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from minillm.system2.programs import Calls


@dataclass(frozen=True)
class Call:
    """One prompt and the response to it.

    Attributes:
        prompt: the text without a template.
        response: the text without special tokens.
        tokens: generated tokens, with the token that ends the response.
    """

    prompt: str
    response: str
    tokens: int


@dataclass(frozen=True)
class Trace:
    """Everything that a program has asked and received for one question.

    Attributes:
        question: the id of the question.
        sample: number of the attempt, from 0.
        calls: in their order.
        text: what the program returns, which holds the answer.
    """

    question: str
    sample: int
    calls: tuple[Call, ...]
    text: str

    @property
    def tokens(self) -> int:
        """Generated tokens of all calls."""
        return sum(call.tokens for call in self.calls)

    def to_json(self) -> dict[str, Any]:
        """One row of a file of answers."""
        return asdict(self)

    @staticmethod
    def from_json(row: dict[str, Any]) -> "Trace":
        """The trace of a row. A row of another form raises KeyError or TypeError."""
        calls = tuple(Call(**call) for call in row["calls"])
        return Trace(row["question"], row["sample"], calls, row["text"])


class Speaker(Protocol):
    """What answers the calls: a model of this project, or a server."""

    def respond(self, prompts: Sequence[str], keys: Sequence[str]) -> list[Call]:
        """One call per prompt. A key determines the random numbers of its prompt."""


def run(programs: Sequence[tuple[str, int, Calls]], speaker: Speaker) -> list[Trace]:
    """Run programs to their ends, round by round.

    A round makes the calls that all unfinished programs wait for. The responses to a program do not
    depend on the programs beside it.

    Args:
        programs: id of the question, number of the attempt, and a program that was just started.
        speaker: answers the calls.

    Returns:
        One trace per program, in the same order.
    """
    texts: dict[int, str] = {}
    calls: list[list[Call]] = [[] for _ in programs]
    waiting = {i: next(program) for i, (_, _, program) in enumerate(programs)}
    while waiting:
        prompts = [prompt for some in waiting.values() for prompt in some]
        keys = [
            f"{programs[i][0]}#{programs[i][1]}#{len(calls[i]) + j}"
            for i, some in waiting.items()
            for j in range(len(some))
        ]
        made = iter(speaker.respond(prompts, keys))
        following = {}
        for i, some in waiting.items():
            new = [next(made) for _ in some]
            calls[i] += new
            try:
                following[i] = programs[i][2].send([call.response for call in new])
            except StopIteration as end:
                texts[i] = end.value
        waiting = following
    return [
        Trace(question, sample, tuple(calls[i]), texts[i])
        for i, (question, sample, _) in enumerate(programs)
    ]
