"""`Question`: one question of any task, and the jsonl files of questions."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from minillm.data.faults import RowError
from minillm.data.rows import jsonl_rows
from minillm.errors import InputError
from minillm.files import write_text

SWAPPED = {"A": "B", "B": "A"}


@dataclass(frozen=True)
class Question:
    """A question, what is accepted as its answer, and changes that must not change the answer.

    Attributes:
        id: names the question in its file.
        text: what a user asks.
        answers: the accepted answers; empty if no answer is known.
        variants: the same question in other words, in another order or with other names.
        candidates: two responses to `text`, of which the better one is asked for. The answer is
            then `A`, `B` or `tie`, and the swapped order of the candidates is another variant.
        group: a kind of question within the task, for separate scores.
    """

    id: str
    text: str
    answers: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    candidates: tuple[str, str] | None = None
    group: str = ""

    def changed(self) -> list["Question"]:
        """The variants as questions, with the answers that they must have."""
        questions = [
            Question(f"{self.id}/{number}", text, self.answers, (), self.candidates, self.group)
            for number, text in enumerate(self.variants, 1)
        ]
        if self.candidates:
            answers = tuple(map(swap, self.answers))
            pair = self.candidates[::-1]
            questions.append(
                Question(f"{self.id}/swapped", self.text, answers, (), pair, self.group)
            )
        return questions


def swap(answer: str) -> str:
    """The answer about a pair after its two candidates have changed places."""
    return SWAPPED.get(answer, answer)


def write_questions(path: Path, questions: Iterable[Question]) -> None:
    """Write one JSON object per line, without empty fields."""
    rows = [
        {name: value for name, value in asdict(question).items() if value}
        for question in questions
    ]
    write_text(path, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))


def read_questions(path: Path) -> list[Question]:
    """Read a file of questions.

    A row needs `text` (or `question`). `answer` or `answers`, `variants`, `candidates`, `group` and
    `id` may be missing. Other columns are ignored.

    Raises:
        InputError: there is no such file, a row cannot be read, or two rows have the same id.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}. Give a jsonl file of questions.")
    questions = []
    for number, (location, row) in enumerate(jsonl_rows(path), 1):
        if isinstance(row, RowError):
            raise row
        questions.append(_question(row, str(number), location))
    if not questions:
        raise InputError(f"{path} has no questions. Write one JSON object per line.")
    seen = set()
    for question in questions:
        if question.id in seen:
            raise InputError(f"{path}: the id {question.id!r} occurs twice. Make the ids distinct.")
        seen.add(question.id)
    return questions


def _question(row: dict, number: str, location: str) -> Question:
    text = row.get("text", row.get("question"))
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{location}: the column `text` must hold the question.")
    answers = row.get("answers", row.get("answer", ()))
    answers = _texts(answers, "answers", location)
    candidates = _texts(row.get("candidates") or (), "candidates", location)
    if len(candidates) not in (0, 2):
        raise InputError(
            f"{location}: the column `candidates` must hold two responses, but it has "
            f"{len(candidates)}."
        )
    if candidates and set(answers) - {"A", "B", "tie"}:
        raise InputError(
            f"{location}: the answer about two candidates must be A, B or tie, but it is "
            f"{', '.join(answers)}."
        )
    return Question(
        id=str(row.get("id", number)),
        text=text,
        answers=answers,
        variants=_texts(row.get("variants") or (), "variants", location),
        candidates=candidates or None,
        group=str(row.get("group", "")),
    )


def _texts(value: object, column: str, location: str) -> tuple[str, ...]:
    """One text or a list of texts; numbers become texts."""
    values = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(x, bool) or not isinstance(x, str | int | float) for x in values):
        raise InputError(f"{location}: the column `{column}` must hold texts.")
    return tuple(map(str, values))


COLUMNS = tuple(field.name for field in fields(Question))
