"""Filters: which questions keep an answer of the model, without looking at a right answer.

Source: arXiv 2407.06023, section 3: self-consistency of several samples, and consistency when the
question changes in a way that should not matter. Universal self-consistency lets the model choose
(arXiv 2311.17311).
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from minillm.system2.extractors import normalised
from minillm.system2.programs import Calls, asked
from minillm.system2.question import Question

# What can happen to a question.
KEPT = "kept"
NO_ANSWER = "no answer was found in any response"
NOT_FOUND = "no answer was found in the response"
TIE = "several answers are equally frequent"
RARE = "the most frequent answer is too rare"
CHANGES = "the answer changes with the question"
NO_CHOICE = "the model chose none of the responses"

FILTERS = ("none", "majority", "consistency", "universal")


@dataclass(frozen=True)
class Verdict:
    """The answer that a question keeps, or why it keeps none.

    Attributes:
        outcome: one of the texts above.
        answer: the answer; None if none is kept.
        sample: index of the response that gives the answer.
    """

    outcome: str
    answer: str | None = None
    sample: int | None = None

    @property
    def is_kept(self) -> bool:
        return self.answer is not None


def first(answers: Sequence[str | None]) -> Verdict:
    """No filter: the first response, if it has an answer."""
    if not answers or answers[0] is None:
        return Verdict(NOT_FOUND)
    return Verdict(KEPT, answers[0], 0)


def majority(answers: Sequence[str | None], least_share: float) -> Verdict:
    """The most frequent answer, if at least this share of all responses gives it.

    Args:
        answers: the answer of each response; None where none was found.
        least_share: 0 to 1.
    """
    counts = Counter(normalised(answer) for answer in answers if answer is not None)
    if not counts:
        return Verdict(NO_ANSWER)
    (best, count), *others = counts.most_common(2)
    if others and others[0][1] == count:
        return Verdict(TIE)
    if count / len(answers) < least_share:
        return Verdict(RARE)
    return _chosen(answers, best)


def consistent(verdict: Verdict, changed: Sequence[Verdict]) -> Verdict:
    """The verdict on a question, if those on its changed forms have the same answer.

    Args:
        verdict: on the question itself.
        changed: on the changed questions, with answers that are mapped back to the question.
    """
    if not verdict.is_kept:
        return verdict
    same = normalised(verdict.answer)
    agrees = all(other.is_kept and normalised(other.answer) == same for other in changed)
    return verdict if agrees else Verdict(CHANGES)


def _chosen(answers: Sequence[str | None], key: str) -> Verdict:
    """The first of the answers that are equal to `key` when they are normalised."""
    sample = next(i for i, x in enumerate(answers) if x is not None and normalised(x) == key)
    return Verdict(KEPT, answers[sample], sample)


def universal(question: Question, responses: Sequence[str]) -> Calls:
    """Asks the model which of its responses agrees most with the others; returns its text."""
    listed = "\n".join(
        f"Response {number}: {' '.join(response.split())}"
        for number, response in enumerate(responses, 1)
    )
    (choice,) = yield [
        f"{asked(question)}\n{listed}\nWhich response agrees most with the others? Give only its "
        f"number."
    ]
    return choice


def chosen_by_model(choice: str, answers: Sequence[str | None]) -> Verdict:
    """The answer of the response whose number the model has given (`universal`)."""
    found = re.search(r"\d+", choice)
    sample = int(found[0]) - 1 if found else -1
    if not 0 <= sample < len(answers):
        return Verdict(NO_CHOICE)
    if answers[sample] is None:
        return Verdict(NOT_FOUND)
    return Verdict(KEPT, answers[sample], sample)
