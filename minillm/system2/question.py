"""`Question`: one question of any task, and the jsonl files of questions."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from minillm.data.faults import RowError
from minillm.data.rows import jsonl_rows
from minillm.errors import InputError
from minillm.files import json_lines, write_text

SWAPPED = {"A": "B", "B": "A"}
SURROGATE = re.compile(r"[\ud800-\udfff]")  # half of a character, which no tokenizer reads


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
    write_text(path, to_jsonl(questions))


def to_jsonl(questions: Iterable[Question]) -> str:
    """The content of a file of questions: one JSON object per line, without empty fields."""
    return json_lines(
        {name: value for name, value in asdict(question).items() if value} for question in questions
    )


def read_questions(path: Path) -> list[Question]:
    """Read a file of questions.

    A row needs `text` (or `question`). `answer` or `answers`, `variants`, `candidates`, `group` and
    `id` may be missing or null. Other columns are ignored.

    Raises:
        InputError: there is no such file, a row cannot be read, or two questions have the same id.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}. Give a jsonl file of questions.")
    refuse_array(path)
    questions = []
    for number, (location, row) in enumerate(jsonl_rows(path), 1):
        if isinstance(row, RowError):
            raise row
        questions.append(_question(row, str(number), location))
    if not questions:
        raise InputError(f"{path} has no questions. Write one JSON object per line.")
    _check_ids(questions, path)
    return questions


def refuse_array(path: Path) -> None:
    """Refuse one JSON array of questions, for which `jsonl_rows` advises a setting of `data`.

    Raises:
        InputError: the file begins with `[`.
    """
    with path.open("rb") as file:
        start = file.read(100).removeprefix(b"\xef\xbb\xbf")
    if start.lstrip().startswith(b"["):
        raise InputError(f"{path} is a JSON array. Each line must be one JSON object.")


def _check_ids(questions: Iterable[Question], path: Path) -> None:
    """Refuse ids that occur twice, because the answers to a question are found by its id."""
    seen = set()
    for question in questions:
        for each in (question, *question.changed()):
            if each.id in seen:
                raise InputError(
                    f"{path}: the id {each.id!r} occurs twice. Make the ids distinct. The variants "
                    f"of the question `a` have the ids `a/1`, `a/2` and so on, and its swapped "
                    f"candidates have the id `a/swapped`."
                )
            seen.add(each.id)


def _question(row: dict, number: str, location: str) -> Question:
    row = {name: value for name, value in row.items() if value is not None}
    text = row.get("text", row.get("question"))
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{location}: the column `text` must hold the question.")
    column = "answers" if "answers" in row else "answer"
    answers = _texts(row.get(column, ()), column, location)
    if not all(answer.strip() for answer in answers):
        raise InputError(f"{location}: the column `{column}` must not hold an empty text.")
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
    question = Question(
        id=str(row.get("id", number)),
        text=text,
        answers=answers,
        variants=_texts(row.get("variants") or (), "variants", location),
        candidates=candidates or None,
        group=str(row.get("group", "")),
    )
    _check_characters(question, location)
    return question


def _check_characters(question: Question, location: str) -> None:
    half = SURROGATE.search(to_jsonl([question]))
    if half:
        raise InputError(
            f"{location}: \\u{ord(half[0]):04x} is only half of a character, which is two such "
            f"codes in JSON. Correct or remove it."
        )


def is_readable(value: object) -> bool:
    """Whether a value is a text that is not empty and that a tokenizer can read."""
    return isinstance(value, str) and bool(value.strip()) and not SURROGATE.search(value)


def _texts(value: object, column: str, location: str) -> tuple[str, ...]:
    """One text or a list of texts; numbers become texts."""
    values = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(x, bool) or not isinstance(x, str | int | float) for x in values):
        raise InputError(f"{location}: the column `{column}` must hold texts.")
    return tuple(map(str, values))
