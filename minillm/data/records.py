"""The one record that every kind of data set is read into."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Record:
    """One task: what is asked, and every answer that counts as right.

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
