"""Rows of a classification: a label of the data becomes a label word, which is the response."""

from collections.abc import Mapping
from typing import Any

from minillm.config import DataConfig
from minillm.data.faults import RowError


def with_words(
    values: dict[str, Any], columns: Mapping[str, str], config: DataConfig, location: str
) -> dict[str, Any]:
    """The values of a row with a label word as response, and with the instruction of all rows.

    Without `data.labels` and `data.instruction`, the values stay as they are.

    Args:
        values: by the names of the columns.
        columns: the column of each field.
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
        new[columns.get("instruction", "instruction")] = config.instruction
    return values | new


def _name(label: Any) -> str:
    """A label as a key of `data.labels`: JSON has true and false, Python True and False."""
    return str(label).lower() if isinstance(label, bool) else str(label)
