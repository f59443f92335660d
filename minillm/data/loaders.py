"""Reads the four kinds of data set into records: embedded, jsonl, csv and Hub.

Rows of a jsonl, csv or Hub data set become `Record`s. Rows with the same input become one record
with several references. The same seed gives the same splits.
"""

import csv
import json
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from minillm.compat import hub
from minillm.config import DataConfig
from minillm.data.embedded import generate_records
from minillm.data.records import Record
from minillm.errors import InputError

COLUMNS = {
    "instruction": "instruction",
    "input": "input",
    "references": "output",
    "prompt": "prompt",
    "topic": "topic",
    "teacher_prompt": "teacher_prompt",
    "id": "id",
}

TEXTS = ("instruction", "input", "prompt", "teacher_prompt")  # one text, or missing

# Half of a UTF-16 pair. JSON can contain it as an escape, and no tokenizer accepts it.
LONE_SURROGATE = re.compile("[\ud800-\udfff]")

Rows = Iterable[tuple[str, dict]]  # location of a row (for messages), and its columns


def load_records(config: DataConfig, splits: Iterable[str]) -> dict[str, list[Record]]:
    """Read the named splits (`train`, `validation`, `test`) of a data set.

    If the data set has no validation split, `validation_size` random inputs of the training split
    become the validation split; `data.seed` selects them. The two splits share no input.

    Raises:
        InputError: a file is missing or empty, a row is malformed, a field or split is missing.
    """
    splits = set(splits)
    if config.kind == "embedded":
        records = generate_records(seed=config.seed)
        return {split: records[split] for split in splits}
    holds_out = config.validation is None and splits & {"train", "validation"}
    splits_to_read = splits - {"validation"} | {"train"} if holds_out else splits
    records = {split: _read_split(config, split) for split in sorted(splits_to_read)}
    if holds_out:
        records["train"], records["validation"] = hold_out_validation(
            records["train"], config.validation_size, config.seed
        )
    return {split: records[split] for split in splits}


def hold_out_validation(
    records: list[Record], size: int, seed: int
) -> tuple[list[Record], list[Record]]:
    """Split records into training and validation records; both keep the order of `records`."""
    if size >= len(records):
        raise InputError(
            f"data.validation_size={size} leaves no training data: the training split has "
            f"{len(records)} inputs. Set a smaller size."
        )
    held_out = set(random.Random(seed).sample(range(len(records)), size))
    train = [record for i, record in enumerate(records) if i not in held_out]
    return train, [records[i] for i in sorted(held_out)]


def _read_split(config: DataConfig, split: str) -> list[Record]:
    name, path = getattr(config, split), config.path
    if config.kind == "hub":
        rows = _hub_rows(config, split, name or split)
    else:
        path = Path(path)
        if name is not None and path.is_file():
            raise InputError(
                f"data.{split}={name} must be a file in the folder data.path, but data.path={path} "
                f"is a file. Set data.{split}=null, or set data.path to the folder of {name}."
            )
        if path.is_dir():
            if name is None:
                raise InputError(
                    f"data.{split} is not set, and data.path={path} is a folder. Name the file of "
                    f"that folder with the {split} split: data.{split}=FILE."
                )
            path = path / name
        rows = _jsonl_rows(path) if config.kind == "jsonl" else _csv_rows(path)
    try:
        records = group_references(_records(rows, COLUMNS | config.columns))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text ({error.reason}: byte 0x{error.object[error.start]:02x}). "
            f"Convert the file to UTF-8."
        ) from error
    except csv.Error as error:
        raise InputError(f"{path} is not a valid csv file: {error}. Correct the file.") from error
    if not records:
        raise InputError(
            f"the {split} split is empty: {path} must hold at least one row. Give another file."
        )
    return records


def _open(path: Path):
    if not path.is_file():
        raise InputError(
            f"there is no file or folder {path}. Check data.path, data.train, data.validation and "
            f"data.test."
        )
    return path.open(encoding="utf-8-sig", newline="")  # spreadsheets write a byte-order mark


def _jsonl_rows(path: Path) -> Iterator[tuple[str, dict]]:
    with _open(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            location = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(
                    f"{location}: not valid JSON ({error.msg} at column {error.colno}). Each line "
                    f"must be one JSON object."
                ) from error
            if not isinstance(row, dict):
                raise InputError(
                    f"{location}: the value is a {type(row).__name__}. Each line must be one JSON "
                    f"object."
                )
            yield location, row


def _csv_rows(path: Path) -> Iterator[tuple[str, dict]]:
    with _open(path) as lines:
        reader = csv.DictReader(lines)
        for row in reader:
            yield f"{path}, line {reader.line_num}", row


def _hub_rows(config: DataConfig, split: str, name: str) -> Iterator[tuple[str, dict]]:
    hub.prepare(config.path)
    import datasets  # imported here because the import takes a second

    try:
        rows = datasets.load_dataset(config.path, config.subset, split=name)
    except (FileNotFoundError, ValueError, ConnectionError) as error:
        raise InputError(
            f"the split {name!r} of the data set {config.path!r} could not be loaded: {error} "
            f"Check data.path, data.subset, data.{split} and the network."
        ) from error
    for number, row in enumerate(rows, 1):
        yield f"{config.path}, split {name}, row {number}", row


def _records(rows: Rows, columns: dict[str, str]) -> Iterator[Record]:
    for location, row in rows:
        yield _record(location, row, columns)


def _record(location: str, row: dict, columns: dict[str, str]) -> Record:
    fields = {field: row.get(column) for field, column in columns.items()}

    def invalid(problem: str) -> InputError:
        return InputError(
            f"{location}: {problem}. The columns of the row are {', '.join(map(repr, row))}. "
            f"Correct the row, or name the right column, such as data.columns.references=COLUMN."
        )

    if not fields["instruction"] and not fields["prompt"]:
        raise invalid(
            f"{columns['instruction']!r} and {columns['prompt']!r} are both missing or empty, "
            f"and one of the two is required"
        )
    references = fields["references"]
    if references is None:
        raise invalid(f"the field {columns['references']!r} is missing or null")
    references = [references] if isinstance(references, str) else references
    if not isinstance(references, list) or not all(isinstance(text, str) for text in references):
        raise invalid(f"{columns['references']!r} must be a text or a list of texts")
    references = tuple(text.strip() for text in references if text.strip())
    if not references:
        raise invalid(f"{columns['references']!r} holds no reference, at least one is needed")
    for name in TEXTS:
        if fields[name] is not None and not isinstance(fields[name], str):
            raise invalid(f"{columns[name]!r} must be a text, not {type(fields[name]).__name__}")
    texts = [*(fields[name] for name in TEXTS), *references]
    if any(LONE_SURROGATE.search(text or "") for text in texts):
        raise invalid("a text holds half of a character (an escape from \\ud800 to \\udfff)")
    return Record(
        instruction=fields["instruction"] or "",
        references=references,
        input=fields["input"] or "",
        prompt=fields["prompt"] or None,
        topic=str(fields["topic"] or ""),
        teacher_prompt=fields["teacher_prompt"] or None,
        id="" if fields["id"] is None else str(fields["id"]),
    )


def group_references(records: Iterable[Record]) -> list[Record]:
    """Merge records with the same input into one record with all references of the group.

    Records and references keep the order of their first occurrence.
    """
    groups: dict[tuple, list[Record]] = {}
    for record in records:
        key = record.instruction, record.input, record.prompt, record.teacher_prompt
        groups.setdefault(key, []).append(record)
    return [
        replace(
            group[0],
            references=tuple(dict.fromkeys(text for record in group for text in record.references)),
        )
        for group in groups.values()
    ]
