"""Data that cannot be read."""

from tests.commands.answers.case import Case

CASES = [
    Case(
        "data data=jsonl data.path=nowhere",
        "minillm: there is no file or folder nowhere. Check data.path, data.train, "
        "data.validation and data.test.",
    ),
]
