"""The questions to the judge, and its answers.

As in the paper (section 3.1), the judge reads a response and the reference answer side by side and
gives each a score from 1 to 10. A judge may prefer the answer that it reads first (Zheng et al.,
2023, arXiv 2306.05685), so each pair is shown in both orders. The wording is this project's.
"""

import re
from dataclasses import dataclass

# Part of the result. Increase the number with each change of the texts below.
PROMPT_VERSION = 1
PROMPT = """\
Two assistants have answered the same task. Rate both answers.

[Task]
{task}
[End of the task]

[Answer of assistant 1]
{first}
[End of the answer of assistant 1]

[Answer of assistant 2]
{second}
[End of the answer of assistant 2]

Give each answer an overall score from 1 to 10 for its helpfulness, relevance, accuracy and level \
of detail. 10 is the best score. The order of the answers must not affect the scores.

The first line of your reply must contain only two numbers: the score of assistant 1 and the score \
of assistant 2, with a space between them. After this line, explain the scores in at most three \
sentences.
"""
# Without an example of two numbers, which a weak judge would copy.
REMINDER = """
An earlier reply did not begin with such a line. Begin your reply with the two numbers, and with
nothing before them.
"""
LOWEST, HIGHEST = 1, 10
_REASONING = re.compile(r"\A.*</think>", re.S)
_NUMBER = r"(\d{1,2}(?:\.\d+)?)"
_SCORES = re.compile(rf"{_NUMBER}(?:\s*,\s*|\s+){_NUMBER}")

Scores = tuple[float, float]


@dataclass(frozen=True)
class Question:
    """A task with two answers, in the order in which the judge reads them."""

    task: str
    first: str
    second: str

    def text(self, attempt: int = 0) -> str:
        """The message to the judge; from the second attempt on with a reminder of the form."""
        text = PROMPT.format(task=self.task, first=self.first, second=self.second)
        return text + REMINDER if attempt else text


@dataclass(frozen=True)
class Pair:
    """A response of a model and the answer with which it is compared: a reference, for example."""

    task: str
    response: str
    other: str

    @property
    def questions(self) -> tuple[Question, Question]:
        """Both orders: the response first, and the response second."""
        return (
            Question(self.task, self.response, self.other),
            Question(self.task, self.other, self.response),
        )


def read_scores(answer: str) -> Scores | None:
    """The scores of assistants 1 and 2; None for an answer of another form.

    The first line that is not empty must be two numbers from 1 to 10. Reasoning before the tag
    `</think>` is not read.
    """
    lines = _REASONING.sub("", answer).strip().splitlines() or [""]
    match = _SCORES.fullmatch(lines[0].strip())
    if not match:
        return None
    first, second = map(float, match.groups())
    return (first, second) if all(LOWEST <= x <= HIGHEST for x in (first, second)) else None
