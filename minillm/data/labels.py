"""Rows of a classification: a label of the data becomes a label word, which is the response."""

from collections.abc import Mapping
from typing import Any

from minillm.config import DataConfig
from minillm.data.faults import RowError
from minillm.errors import InputError

INSTRUCTION = "data.instruction"  # the column of the instruction of all rows


def check_label_words(config: DataConfig) -> None:
    """Refuse label words that cannot be told apart, and an instruction that has two sources.

    Raises:
        InputError: the message says what is allowed.
    """
    words = [word.strip() for word in config.labels.values()]
    if words and (len(set(words)) < max(2, len(words)) or not all(words)):
        raise InputError(
            f"data.labels={config.labels} is not allowed: give at least two different label words, "
            f"such as data.labels.0=negative data.labels.1=positive."
        )
    if config.instruction is not None and "instruction" in config.columns:
        raise InputError(
            f"data.instruction={config.instruction} is the instruction of all rows, but "
            f"data.columns.instruction={config.columns['instruction']} names a column of "
            f"instructions. Leave one of them out."
        )


def with_words(
    values: dict[str, Any], columns: Mapping[str, str], config: DataConfig, location: str
) -> dict[str, Any]:
    """The values of a row with a label word as response, and with the instruction of all rows.

    Without `data.labels` and `data.instruction`, the values stay as they are.

    Args:
        values: by the names of the columns.
        columns: the column of each field; that of the instruction is `INSTRUCTION` if all rows have
            the same.
        config: label words and instruction.
        location: where the row is, for messages.

    Raises:
        RowError: the label has no word.
    """
    new: dict[str, Any] = {}
    if config.labels:
        column = columns["references"]
        label = _name(values.get(column))
        if label not in config.labels:
            raise RowError(
                f"{location}: the label {label!r} in {column!r} has no word: data.labels has words "
                f"for {', '.join(map(repr, config.labels))}. Correct the row, add its label to "
                f"data.labels, or name the column of the labels (data.columns.references=COLUMN)."
            )
        new[column] = config.labels[label]
    if config.instruction is not None:
        new[INSTRUCTION] = config.instruction
    return values | new


def _name(label: Any) -> str:
    """A label as a key of `data.labels`: JSON has true and false, Python True and False."""
    return str(label).lower() if isinstance(label, bool) else str(label)
