"""`Record`, the common form of the rows of all data sets."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Record:
    """One task and all of its reference answers.

    `prompt` is the ready text of the prompt if the data set has one; otherwise a template makes the
    text from `instruction` and `input`. `teacher_prompt` is the ready text of the teacher's own
    prompt, which may hold more than the student's. `topic` names the kind of task for break-downs.
    `id` is the name of the record in the data set.
    """

    instruction: str
    references: tuple[str, ...]
    input: str = ""
    prompt: str | None = None
    topic: str = ""
    teacher_prompt: str | None = None
    id: str = ""
