"""The figures that the paper reports, from the csv files of results/paper."""

import csv
from collections.abc import Mapping
from pathlib import Path

from minillm.errors import InputError

# The columns that name a figure, by the name of the file.
KEYS = {
    "table1": ("family", "size", "method", "data", "measure"),
    "table2": ("family", "size", "method", "data", "measure"),
    "table3": ("family", "size", "method", "data", "measure"),
    "table4": ("family", "size", "variant", "data", "measure"),
    "table7": ("family", "size", "variant", "data"),
}
# Table -> the values of its key columns -> the figure.
Reported = Mapping[str, Mapping[tuple[str, ...], float]]


def read_reported(folder: Path | None) -> Reported:
    """The reported figures of each table. A table without a file, and folder None, give none.

    Raises:
        InputError: the folder does not exist, a column is missing, a value is not a number, or a
            figure is given twice.
    """
    if folder is None:
        return {name: {} for name in KEYS}
    if not folder.is_dir():
        raise InputError(
            f"--reported {folder} is not a folder. Give a folder with the files of results/paper, "
            f"or leave --reported out."
        )
    return {name: _read(folder / f"{name}.csv", keys) for name, keys in KEYS.items()}


def _read(file: Path, keys: tuple[str, ...]) -> dict[tuple[str, ...], float]:
    if not file.is_file():
        return {}
    figures = {}
    with file.open(newline="", encoding="utf-8") as lines:
        rows = csv.DictReader(lines)
        missing = {*keys, "value"} - {*(rows.fieldnames or ())}
        if missing:
            raise InputError(f"{file} has no column {', '.join(sorted(missing))}.")
        for row in rows:
            key = tuple(row[name] for name in keys)
            try:
                value = float(row["value"])
            except (TypeError, ValueError):
                raise InputError(
                    f"{file}, line {rows.line_num}: the value {row['value']!r} is not a number."
                ) from None
            if key in figures:
                raise InputError(
                    f"{file}, line {rows.line_num}: the figure of {', '.join(key)} is given twice. "
                    f"Delete one of the lines."
                )
            figures[key] = value
    return figures
