"""One case of wrong input: a command line, the status, and the first line of the answer."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A command line as a user types it in the folder of `world.py`, and the expected answer.

    Attributes:
        given: the command line after `minillm`.
        answer: the first line of the standard error. `...` stands for any text.
        status: the exit status.
        note: what the folder holds, if the command line alone does not say why it is wrong.
        variables: environment variables of the command.
    """

    given: str
    answer: str
    status: int = 2
    note: str = ""
    variables: tuple[tuple[str, str], ...] = ()

    def accepts(self, line: str) -> bool:
        """Whether a line is the expected answer."""
        pattern = ".*".join(map(re.escape, self.answer.split("...")))
        return re.fullmatch(pattern, line) is not None
