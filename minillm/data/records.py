"""`Record`, the common form of the rows of all data sets."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Record:
    """One task and all of its reference answers.

    `prompt` is the complete text of the prompt, if the data set contains one; otherwise a template
    builds the prompt from `instruction` and `input`. `topic` names the kind of task, so that scores
    can be reported per topic.
    """

    instruction: str
    references: tuple[str, ...]
    input: str = ""
    prompt: str | None = None
    topic: str = ""
