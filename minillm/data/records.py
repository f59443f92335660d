"""`Record`, the common form of the rows of all data sets."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple


class Message(NamedTuple):
    """One message of a conversation; the role is `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True)
class Record:
    """One task and all of its reference answers.

    Attributes:
        instruction, input: a template makes the text of the prompt from these two texts.
        references: every right response.
        prompt: the ready text of the prompt, with `data.template=ready`.
        topic: names the kind of task for break-downs.
        teacher_prompt: the ready text of the teacher's own prompt, which may hold more than the
            student's prompt.
        id: the name of the record in the data set.
        messages: the conversation before the response, instead of instruction and input.
        rows: number of rows of the data set (or turns of conversations) with this input.
        unused_prompt: a ready prompt in the data, if a template makes the prompt.
    """

    instruction: str
    references: tuple[str, ...]
    input: str = ""
    prompt: str | None = None
    topic: str = ""
    teacher_prompt: str | None = None
    id: str = ""
    messages: tuple[Message, ...] | None = None
    rows: int = field(default=1, compare=False)
    unused_prompt: str | None = field(default=None, compare=False)

    @property
    def question(self) -> tuple:
        """What the student is asked; equal for records with the same input."""
        if self.prompt is not None:
            return (self.prompt,)
        return self.instruction, self.input, self.messages

    @property
    def task(self) -> str:
        """What a user reads as the question: the same text for every template of the prompt."""
        if self.prompt is not None:
            return self.prompt
        if self.messages is None:
            return "\n\n".join(part for part in (self.instruction, self.input) if part)
        if len(self.messages) == 1:
            return self.messages[0].content
        return "\n\n".join(f"{message.role}: {message.content}" for message in self.messages)

    @property
    def opening(self) -> tuple:
        """What all turns of one conversation share: its messages up to the first of the user.

        For a record without messages: what the student is asked.
        """
        if self.messages is None:
            return self.question
        roles = [message.role for message in self.messages]
        return self.messages[: roles.index("user") + 1]


def count_seen(records: Iterable[Record], train: Iterable[Record]) -> int:
    """Number of records whose input occurs in the training data. White space is not compared."""
    training_inputs = {_normalised(record.question) for record in train}
    return sum(_normalised(record.question) in training_inputs for record in records)


def _normalised(value: object) -> object:
    """The value with each run of white space in its texts replaced by one space."""
    if isinstance(value, str):
        return " ".join(value.split())
    return tuple(map(_normalised, value)) if isinstance(value, tuple) else value
