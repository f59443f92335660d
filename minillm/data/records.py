"""The one record that every kind of data set is read into."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Record:
    """One task: what is asked, and every answer that counts as right.

    `prompt` is the ready text of the prompt where the data set brings one; otherwise a template
    makes it from `instruction` and `input`. `topic` names the kind of task for break-downs.
    """

    instruction: str
    references: tuple[str, ...]
    input: str = ""
    prompt: str | None = None
    topic: str = ""
