"""Scores of one way of answering the test questions, and the file that holds them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from minillm.errors import InputError
from minillm.evaluation.statistics import bootstrap_interval
from minillm.system2.extractors import Extractor, is_right, normalised
from minillm.system2.keeping import original_answer
from minillm.system2.question import Question
from minillm.system2.run import Trace

FORMAT = 1


@dataclass(frozen=True)
class Score:
    """A mean over questions with its 95% bootstrap interval, and the value of each question."""

    mean: float
    ci_low: float
    ci_high: float
    per_input: list[float]

    @staticmethod
    def of(values: Sequence[float]) -> "Score":
        """The score of at least one value."""
        interval = bootstrap_interval(np.array([values], dtype=np.float64))
        return Score(interval.mean, interval.low, interval.high, list(map(float, values)))


@dataclass(frozen=True)
class Scores:
    """How well one model answers by one program.

    Attributes:
        name: in tables, such as `System 1` or `distilled`.
        task: the task, or the folder of the questions.
        program: how the questions were answered.
        exact_match: 0 to 100. A question without an answer in its response counts as wrong.
        consistency: share of questions, 0 to 100, whose answer stays the same in all of its changed
            forms; None if no question has changed forms.
        tokens: generated tokens per answer, intermediate ones included.
        seconds: per answer, in batches or by several requests at once; None if a cache of answers
            of a server was used.
        unanswered: share of responses in which no answer was found, 0 to 100.
        groups: the exact match of each group of questions.
        training: of a distilled model: rows, method and seconds.
        record: settings, revision, machine and date.
    """

    name: str
    task: str
    program: str
    exact_match: Score
    consistency: Score | None
    tokens: Score
    seconds: float | None
    unanswered: float
    groups: dict[str, Score] = field(default_factory=dict)
    training: dict[str, Any] | None = None
    record: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The content of a file of scores."""
        return {"format": FORMAT} | asdict(self)

    @staticmethod
    def from_json(content: Any, source: str) -> "Scores":
        """Read the content of a file.

        Raises:
            InputError: it does not hold scores of System 2.
        """
        try:
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']} is unknown")
            values = {key: value for key, value in content.items() if key != "format"}
            for key in ("exact_match", "consistency", "tokens"):
                values[key] = values[key] and Score(**values[key])
            values["groups"] = {name: Score(**score) for name, score in values["groups"].items()}
            return Scores(**values)
        except (TypeError, LookupError, ValueError, AttributeError) as error:
            raise InputError(
                f"{source} does not hold scores of `minillm system2 evaluate` ({error}). Delete "
                f"the file, and evaluate again."
            ) from error


def check_answers(questions: Sequence[Question]) -> None:
    """Refuse test questions without a known answer.

    Raises:
        InputError: the message names the first one.
    """
    unknown = [question.id for question in questions if not question.answers]
    if unknown:
        raise InputError(
            f"{len(unknown)} test questions have no answer, such as {unknown[0]!r}. Add the column "
            f"`answer`, or leave these questions out."
        )


def score(
    questions: Sequence[Question],
    traces: Sequence[Trace],
    find: Extractor,
    **description: Any,
) -> Scores:
    """The scores of traces, one per question and one per changed question.

    Args:
        questions: the test questions, which have known answers.
        traces: the trace of each question, and of each of its changed forms.
        find: finds the answer in a text.
        description: the other attributes of `Scores`.
    """
    by_id = {trace.question: trace for trace in traces}
    answers = {key: find(trace.text) for key, trace in by_id.items()}
    right = [100.0 * is_right(answers[x.id], x.answers, find) for x in questions]
    stable = [100.0 * _is_stable(x, answers) for x in questions if x.changed()]
    groups = sorted({question.group for question in questions} - {""})
    own = [by_id[question.id] for question in questions]
    return Scores(
        exact_match=Score.of(right),
        consistency=Score.of(stable) if stable else None,
        tokens=Score.of([trace.tokens for trace in own]),
        unanswered=100.0 * sum(answers[x.id] is None for x in questions) / len(questions),
        groups={
            group: Score.of(
                [value for x, value in zip(questions, right, strict=True) if x.group == group]
            )
            for group in groups
        },
        **description,
    )


def _is_stable(question: Question, answers: dict[str, str | None]) -> bool:
    """Whether all changed forms have an answer, and the same as the question itself."""
    own = answers[question.id]
    others = [original_answer(answers[x.id], question, x) for x in question.changed()]
    return own is not None and all(
        other is not None and normalised(other) == normalised(own) for other in others
    )
