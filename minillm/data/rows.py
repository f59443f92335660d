"""Reads the rows of data files and Hub data sets, with the location of each row for messages.

csv files are read by Python's `csv`, because `datasets` gives no line numbers, changes texts such
as `1` into numbers, and texts such as `NA` into null. `datasets` reads parquet and splits of the
Hub; a file of a Hub data set is downloaded and read as a local file.
"""

import csv
import json
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

from minillm.compat import hub
from minillm.data.faults import NOT_UTF8, RowError
from minillm.errors import InputError, first_line

# Location of a row, and its columns, or the error for a row that cannot be read.
Rows = Iterator[tuple[str, dict | RowError]]


def _open(path: Path):
    return path.open(encoding="utf-8-sig", newline="")  # spreadsheets write a byte-order mark


def jsonl_rows(path: Path) -> Rows:
    """One JSON object per line."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            location = f"{path}, line {number}"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                yield location, RowError(_not_utf8(location, error), NOT_UTF8)
                continue
            if text.strip():
                yield location, _json_object(text, location, _advice(number, text))


def _json_object(text: str, location: str, advice: str) -> dict | RowError:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        return _not_json(location, error, advice)
    return _object(row, location, advice)


def _not_utf8(location: Path | str, error: UnicodeDecodeError) -> str:
    return (
        f"{location} is not UTF-8 text ({error.reason}: byte 0x{error.object[error.start]:02x}). "
        f"Convert the file to UTF-8."
    )


def _advice(number: int, line: str) -> str:
    if number == 1 and line.lstrip().startswith("["):
        return "If the file is one JSON array of objects, set data.kind=json."
    return "Each line must be one JSON object."


def json_rows(path: Path) -> Rows:
    """One JSON array of objects."""
    advice = "The file must be one JSON array of objects. For one object per line, set " \
             "data.kind=jsonl."  # fmt: skip
    with _open(path) as file:
        text = file.read()
        try:
            rows = json.loads(text)
        except (ValueError, RecursionError) as error:
            line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
            raise _not_json(f"{path}{line}", error, advice) from error
    if not isinstance(rows, list):
        raise InputError(f"{path}: the value is a {type(rows).__name__}. {advice}")
    for number, row in enumerate(rows, 1):
        location = f"{path}, object {number}"
        yield location, _object(row, location, advice)


def _not_json(location: str, error: ValueError | RecursionError, advice: str) -> RowError:
    """The error for a text that is not JSON, or that Python's `json` cannot read."""
    if isinstance(error, RecursionError):
        return RowError(f"{location}: the lists and objects are nested too deeply. {advice}")
    if not isinstance(error, json.JSONDecodeError):  # a whole number with thousands of digits
        return RowError(f"{location}: the JSON cannot be read ({first_line(error)}). {advice}")
    problem = error.msg.removesuffix(" at")  # some messages of the library end in "at"
    return RowError(f"{location}: not valid JSON ({problem} at column {error.colno}). {advice}")


def _object(row: Any, location: str, advice: str) -> dict | RowError:
    if not isinstance(row, dict):
        return RowError(f"{location}: the value is a {type(row).__name__}. {advice}")
    return row


def csv_rows(path: Path) -> Rows:
    """A csv file; its first line names the columns."""
    with _open(path) as lines:
        reader = csv.DictReader(lines)
        columns = reader.fieldnames or []
        repeated = {name for name in columns if name and columns.count(name) > 1}
        if repeated:
            raise InputError(
                f"{path}, line 1: the column {min(repeated)!r} occurs more than once. Rename or "
                f"remove all but one of these columns."
            )
        for row in reader:
            location = f"{path}, line {reader.line_num}"
            further_fields = row.pop(None, [])
            if any(further_fields):
                row = RowError(
                    f"{location}: the row has {len(columns) + len(further_fields)} fields, but the "
                    f"first line names {len(columns)} columns. Put quotes around a text that "
                    f'contains a comma, such as "red, yellow".'
                )
            yield location, row


def parquet_rows(path: Path) -> Rows:
    """A parquet file, row by row."""
    import pyarrow.parquet  # imported here because the import takes time

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            rows = chain.from_iterable(batch.to_pylist() for batch in file.iter_batches())
            for number, row in enumerate(rows, 1):
                yield f"{path}, row {number}", row
    except pyarrow.ArrowException as error:
        raise InputError(
            f"{path} is not a valid parquet file: {first_line(error)}. Give another file."
        ) from error


READERS: dict[str, Callable[[Path], Rows]] = {
    "jsonl": jsonl_rows, "json": json_rows, "csv": csv_rows, "parquet": parquet_rows
}  # fmt: skip


def file_rows(path: Path, kind: str) -> Rows:
    """The rows of a file of one of the kinds in `READERS`.

    Raises:
        InputError: there is no such file, or its content is not of this kind.
    """
    if not path.is_file():
        names = ", ".join(file.name for file in data_files(path.parent))
        others = f"The folder {path.parent} has {names}. " if names else ""
        raise InputError(
            f"there is no file or folder {path}. {others}Check data.path, data.train, "
            f"data.validation and data.test."
        )
    try:
        yield from READERS[kind](path)
    except UnicodeDecodeError as error:
        raise InputError(_not_utf8(path, error)) from error
    except csv.Error as error:
        raise InputError(f"{path} is not a valid csv file: {error}. Correct the file.") from error


def data_files(folder: Path, limit: int = 6) -> list[Path]:
    """The first files of a folder, by name, whose ending is known."""
    files = [path for path in sorted(folder.glob("*")) if ending_of(path) in READERS]
    return files[:limit]


def ending_of(path: Path) -> str:
    """The ending of a file name, without the dot and in lower case."""
    return path.suffix.lower().removeprefix(".")


def kind_of(path: Path) -> str:
    """The kind of a file by its ending.

    Raises:
        InputError: the ending is unknown.
    """
    kind = ending_of(path)
    if kind not in READERS:
        raise InputError(
            f"the ending of {path} does not say which format the file has. Known endings: "
            f"{', '.join(f'.{name}' for name in READERS)}. Rename the file, or name the format, "
            f"such as data.kind=jsonl."
        )
    return kind


def hub_rows(
    path: str, subset: str | None, name: str, *, split: str, revision: str | None = None
) -> Rows:
    """The split of a Hub data set that `data.SPLIT` names.

    Raises:
        InputError: the data set cannot be loaded, or has no such split.
    """
    hub.prepare(path)
    import datasets

    try:
        rows = datasets.load_dataset(path, subset, split=name, revision=revision)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise InputError(_not_loaded(f"the split {name!r}", path, split, error)) from error
    for file in rows.cache_files[:1]:
        hub.note_data(path, revision, Path(file["filename"]).parts)
    for number, row in enumerate(rows, 1):
        yield f"{path}, split {name}, row {number}", row


def hub_file(path: str, name: str, *, split: str, revision: str | None = None) -> Path:
    """A file of a Hub data set, or of a local folder, that `data.SPLIT` names.

    The file need not belong to a split of the data set, as raw.jsonl of Dolly. It is downloaded
    once, into the cache of `huggingface_hub`.

    Raises:
        InputError: the data set or the file does not exist, or the Hub cannot be reached.
    """
    if Path(path).is_dir():
        return Path(path) / name
    hub.prepare(path)
    try:
        file = huggingface_hub.hf_hub_download(path, name, repo_type="dataset", revision=revision)
    except (OSError, ValueError, EntryNotFoundError) as error:
        raise InputError(_not_loaded(f"the file {name!r}", path, split, error)) from error
    hub.note_data(path, revision, Path(file).parts)
    return Path(file)


def _not_loaded(part: str, path: str, split: str, error: Exception) -> str:
    start = f"{part} of the data set {path!r} could not be loaded"
    is_missing = isinstance(error, OSError) and not Path(path).exists()
    if is_missing and huggingface_hub.is_offline_mode():
        return (
            f"{start}, because it is not in the cache, and the Hub is not used: HF_HUB_OFFLINE is "
            f"set, or the Hub cannot be reached. Run `minillm data` with the same settings once "
            f"on a machine with a network and this cache. Or run `minillm data prepare` there, and "
            f"give its folder: data=paper data.path=FOLDER data.validation=validation.jsonl."
        )
    reason = first_line(error)
    if isinstance(error, RepositoryNotFoundError):  # its first line is only `404 Client Error`
        reason = "there is no such data set, or only with a login (`hf auth login`)"
    elif isinstance(error, EntryNotFoundError):
        reason = "the data set has no such file"
    return f"{start}: {reason}. Check data.path, data.subset, data.{split} and the network."
