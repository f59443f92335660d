"""Turns the rows of a data set into records, and recognises the common formats.

| format | columns |
| --- | --- |
| Alpaca, and the paper's data | `instruction`, `input`, `output` |
| ready prompts (`data.template=ready`) | `prompt`, `output` |
| chat | `messages` (`role`, `content`), or `conversations` (`from`, `value`) |

`data.columns` names the columns of other formats. A row that cannot be read is refused with the
settings that would read the row, if there are such settings.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from minillm.config import DataConfig
from minillm.data.conversations import (
    is_conversation,
    read_messages,
    responses_of,
    single_turn,
)
from minillm.data.faults import MALFORMED, NO_PROMPT, NO_RESPONSE, Dropped, RowError, with_dropped
from minillm.data.labels import INSTRUCTION, with_words
from minillm.data.records import Message, Record
from minillm.errors import InputError

COLUMNS = {
    "instruction": "instruction",
    "input": "input",
    "references": "output",
    "prompt": "prompt",
    "topic": "topic",
    "teacher_prompt": "teacher_prompt",
    "id": "id",
    "messages": "messages",
}
SHAREGPT = "conversations"

# Columns of other formats that hold what the student is asked, and the response.
QUESTIONS = ("instruction", "question", "query", "prompt", "problem", "source")
RESPONSES = ("output", "response", "completion", "answer", "chosen", "target", "solution",
             "summary")  # fmt: skip

# Half of a UTF-16 pair. JSON can contain it as an escape, and no tokenizer accepts it.
LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Row:
    """One row of a data set.

    Attributes:
        location: where the row is, for messages.
        values: the values by the names of the columns.
        columns: the column of the data for each field of `COLUMNS`.
        template: the setting `data.template`.
    """

    location: str
    values: dict[str, Any]
    columns: dict[str, str]
    template: str

    def get(self, field: str) -> Any:
        """The value of a field; None if its column is missing."""
        column = self.columns.get(field)
        return None if column is None else self.values.get(column)

    def text(self, field: str) -> str:
        """The text of a field; empty if its column is missing."""
        value = self.get(field)
        if value is not None and not isinstance(value, str):
            raise self.invalid(
                f"{self.columns[field]!r} must be a text, not {type(value).__name__}"
            )
        return value or ""

    def invalid(self, problem: str, fault: str = MALFORMED) -> RowError:
        """The error for a problem of this row. It names the settings that read the row, if any."""
        advice = _offer(self) or "name the right column, such as data.columns.references=COLUMN"
        return RowError(
            f"{self.location}: {problem}. The columns of the row are "
            f"{', '.join(map(repr, self.values))}. Correct the row, or {advice}.",
            fault,
        )


def read_rows(
    rows: Iterable[tuple[str, dict | RowError]],
    config: DataConfig,
    dropped: Dropped | None = None,
) -> Iterator[Record]:
    """The records of rows. A conversation gives one record per message of the assistant.

    Args:
        rows: the location of each row for messages, and its columns, or why it cannot be read.
        config: names of columns, and the templates that make the prompts of the records.
        dropped: receives counts of the rows that cannot be read; None to refuse such rows.

    Raises:
        RowError: a row lacks a column, or a value has the wrong type.
    """
    chosen = config.columns
    # A column that the user names for one field is not read for another field too.
    claimed = {*chosen.values()} - {COLUMNS["references"]}
    defaults = {field: name for field, name in COLUMNS.items() if name not in claimed}
    columns = defaults | chosen
    if config.instruction is not None:
        columns["instruction"] = INSTRUCTION
    for location, values in rows:
        try:
            if isinstance(values, RowError):
                raise values
            values = with_words(values, columns, config, location)
            records = _checked_records(Row(location, values, columns, config.template), config)
        except RowError as error:
            if dropped is None:
                raise
            dropped.update(with_dropped(dropped, error.fault, location))
        else:
            yield from records


def _checked_records(row: Row, config: DataConfig) -> list[Record]:
    """The records of a row that the templates can render."""
    if config.template == "ready" and config.teacher_template and not row.get("instruction"):
        raise row.invalid(
            f"data.teacher_template={config.teacher_template} needs an instruction, but "
            f"{row.columns.get('instruction', 'instruction')!r} is missing or empty"
        )
    records = _records(row)
    templates = {config.template, config.teacher_template} - {"chat", None}
    for record in records:
        if record.messages:
            _check_templates(record.messages, templates, row.location)
    return records


def _check_templates(messages: Sequence[Message], templates: Iterable[str], location: str) -> None:
    try:
        for template in templates:
            single_turn(messages, template)
    except InputError as error:
        raise RowError(f"{location}: {error}") from error


def _records(row: Row) -> list[Record]:
    is_ready = row.template == "ready"
    is_complete = bool(row.get("instruction")) and row.get("references") is not None
    column = None if is_ready else _column_of_messages(row)
    if column and (not is_complete or column == row.columns["messages"] != COLUMNS["messages"]):
        records = _conversation(row, column)
    elif row.get("prompt" if is_ready else "instruction"):
        prompt = row.get("prompt")
        records = [
            Record(
                instruction=row.text("instruction"),
                input=row.text("input"),
                prompt=row.text("prompt") if is_ready else None,
                references=_references(row),
                unused_prompt=None if is_ready or not isinstance(prompt, str) else prompt or None,
                **_names(row),
            )
        ]
    else:
        raise row.invalid(_nothing_asked(row), NO_PROMPT)
    if any(LONE_SURROGATE.search(_all_text(record)) for record in records):
        raise row.invalid("a text holds half of a character (an escape from \\ud800 to \\udfff)")
    return records


def _nothing_asked(row: Row) -> str:
    """What is missing in a row without instruction, or without prompt if prompts are ready."""
    field = "prompt" if row.template == "ready" else "instruction"
    column = row.columns.get(field, COLUMNS[field])
    return f"{column!r} is missing or empty, and data.template={row.template} needs this column"


def _references(row: Row) -> tuple[str, ...]:
    references, column = row.get("references"), row.columns["references"]
    if references is None:
        raise row.invalid(f"the field {column!r} is missing or null", NO_RESPONSE)
    references = [references] if isinstance(references, str) else references
    if not isinstance(references, list) or not all(isinstance(text, str) for text in references):
        raise row.invalid(f"{column!r} must be a text or a list of texts")
    references = tuple(text.strip() for text in references if text.strip())
    if not references:
        raise row.invalid(f"{column!r} holds no reference, at least one is needed", NO_RESPONSE)
    return references


def _column_of_messages(row: Row) -> str | None:
    """The column with a conversation; None if the row has no such column."""
    column = row.columns.get("messages")
    if column == COLUMNS["messages"] and row.values.get(column) is None:
        column = SHAREGPT
    return column if row.values.get(column) is not None else None


def _conversation(row: Row, column: str) -> list[Record]:
    """One record per message of the assistant, or one for a conversation without its response."""
    try:
        messages = read_messages(row.values[column], column)
    except ValueError as problem:
        raise row.invalid(str(problem)) from problem
    if row.get("references") is not None:
        if messages[-1].role != "user":
            raise row.invalid(
                f"the response is in {row.columns['references']!r}, so that the last message of "
                f"{column!r} must be the user's, not the {messages[-1].role}'s"
            )
        return [Record("", _references(row), messages=messages, **_names(row))]
    responses = responses_of(messages)
    if not responses:
        raise row.invalid(
            f"{column!r} holds no message of the assistant after a message of the user, so that "
            f"there is no response",
            NO_RESPONSE,
        )
    names = _names(row)
    if names["teacher_prompt"] and len(responses) > 1:
        raise row.invalid(
            f"{row.columns['teacher_prompt']!r} is the prompt of one response, but the "
            f"conversation has {len(responses)} messages of the assistant"
        )
    records = [Record("", (text.strip(),), messages=before, **names) for before, text in responses]
    if names["id"] and len(records) > 1:  # each turn has an id of its own
        records = [
            replace(record, id=f"{record.id}/{turn}") for turn, record in enumerate(records, 1)
        ]
    return records


def _names(row: Row) -> dict[str, Any]:
    """Topic, id and the teacher's prompt of a row."""
    number = row.get("id")
    return {
        "topic": str(row.get("topic") or ""),
        "teacher_prompt": row.text("teacher_prompt") or None,
        "id": "" if number is None else str(number),
    }


def _all_text(record: Record) -> str:
    contents = [message.content for message in record.messages or ()]
    prompts = [record.prompt, record.unused_prompt, record.teacher_prompt]
    texts = [record.instruction, record.input, *filter(None, prompts)]
    return "\0".join([*texts, *record.references, *contents])


def _offer(row: Row) -> str | None:
    """Advice: the settings with which the row could be read; None if there are none."""
    values, is_ready = row.values, row.template == "ready"
    for name, value in values.items():
        if not is_conversation(value):
            continue
        if is_ready:
            return f"set data.template=chat to read the conversation in {name!r}"
        if name not in (COLUMNS["messages"], SHAREGPT):
            return f"set data.columns.messages={name} to read the conversation in {name!r}"
    questions = ("prompt", *QUESTIONS) if is_ready else QUESTIONS
    question = next((x for x in questions if values.get(x) and isinstance(values[x], str)), None)
    response = next((name for name in RESPONSES if _is_response(values.get(name))), None)
    if question is None and isinstance(values.get("text"), str):
        return "divide 'text' into 'prompt' and 'output'"
    if question is None or response is None:
        return None
    columns = {"prompt" if is_ready else "instruction": question, "references": response}
    settings = _settings_for(columns, row)
    if is_ready and question == COLUMNS["instruction"]:
        return "set data.template=alpaca, plain or chat to make prompts of 'instruction'"
    if not settings:
        return None
    if question == COLUMNS["prompt"] and not is_ready:
        ready = _settings_for({"prompt": question, "references": response}, row)
        return (
            f"set {settings} to apply data.template={row.template} to {question!r}, or "
            f"{' '.join(['data.template=ready', *ready.split()])} to read {question!r} as the "
            f"ready prompt"
        )
    return f"set {settings} to read {question!r} and {response!r}"


def _settings_for(columns: dict[str, str], row: Row) -> str:
    """The settings that name the columns of some fields, without those that the row has already."""
    return " ".join(
        f"data.columns.{field}={column}"
        for field, column in columns.items()
        if row.columns.get(field) != column
    )


def _is_response(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)
    )
