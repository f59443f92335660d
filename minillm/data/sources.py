"""The four kinds of data set, each read into records: embedded, jsonl, csv and Hub.

Every kind ends in the same place: rows of columns become `Record`s, rows that ask the same thing
become one record with several references, and the splits are made the same way for the same seed.
"""

import csv
import json
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

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

HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # JSON can escape one; no tokenizer takes it

Rows = Iterable[tuple[str, dict]]  # where it stands (for messages), and its columns


def load_records(config: DataConfig, splits: Iterable[str]) -> dict[str, list[Record]]:
    """Read the named splits (`train`, `validation`, `test`) of a data set.

    Where the data set names no validation split, `validation_size` inputs of the training split
    are held out by a seeded shuffle; no input is in both.

    Raises:
        InputError: a file is missing or empty, a row is malformed, a field or split is missing.
    """
    splits = set(splits)
    if config.kind == "embedded":
        records = generate_records(seed=config.seed)
        return {split: records[split] for split in splits}
    hold_out = config.validation is None and splits & {"train", "validation"}
    wanted = splits - {"validation"} | {"train"} if hold_out else splits
    records = {split: _read_split(config, split) for split in sorted(wanted)}
    if hold_out:
        records["train"], records["validation"] = hold_out_validation(
            records["train"], config.validation_size, config.seed
        )
    return {split: records[split] for split in splits}


def hold_out_validation(
    records: list[Record], size: int, seed: int
) -> tuple[list[Record], list[Record]]:
    """Split records into training and validation; the order of each is that of the file."""
    if size >= len(records):
        raise InputError(
            f"data.validation_size={size} leaves nothing to train on: the training split has "
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
                f"data.{split}={name} names a file below data.path, but {path} is a file itself: "
                f"set data.{split}=null, or data.path to the folder of both."
            )
        if path.is_dir():
            if name is None:
                raise InputError(
                    f"data.{split} is not set: which file of {path} holds the {split} split? "
                    f"Add data.{split}=FILE."
                )
            path = path / name
        rows = _jsonl_rows(path) if config.kind == "jsonl" else _csv_rows(path)
    try:
        records = group_references(_records(rows, COLUMNS | config.columns))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text ({error.reason}: byte 0x{error.object[error.start]:02x}). "
            f"Convert it to UTF-8."
        ) from error
    except csv.Error as error:
        raise InputError(f"{path} is no csv that can be read: {error}. Mend the file.") from error
    if not records:
        raise InputError(
            f"the {split} split is empty: {path} must hold at least one row. Give another file."
        )
    return records


def _open(path: Path):
    if not path.is_file():
        raise InputError(
            f"there is no file or folder {path}. Check data.path and the names of its splits."
        )
    return path.open(encoding="utf-8-sig", newline="")  # spreadsheets write a byte-order mark


def _jsonl_rows(path: Path) -> Iterator[tuple[str, dict]]:
    with _open(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            place = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(
                    f"{place}: not valid JSON ({error.msg} at column {error.colno}). Each line "
                    f"must be one JSON object."
                ) from error
            if not isinstance(row, dict):
                raise InputError(f"{place}: {type(row).__name__} given, a JSON object is needed.")
            yield place, row


def _csv_rows(path: Path) -> Iterator[tuple[str, dict]]:
    with _open(path) as lines:
        reader = csv.DictReader(lines)
        for row in reader:
            yield f"{path}, line {reader.line_num}", row


def _hub_rows(config: DataConfig, split: str, name: str) -> Iterator[tuple[str, dict]]:
    import datasets  # takes a second to import, and only this kind needs it

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
    for place, row in rows:
        yield _record(place, row, columns)


def _record(place: str, given: dict, columns: dict[str, str]) -> Record:
    row = {ours: given.get(theirs) for ours, theirs in columns.items()}

    def refuse(what: str) -> InputError:
        return InputError(
            f"{place}: {what}. The row has {', '.join(map(repr, given))}. Mend it, or map the "
            f"columns, such as data.columns.references=THEIR_NAME."
        )

    if not row["instruction"] and not row["prompt"]:
        raise refuse(
            f"neither {columns['instruction']!r} nor {columns['prompt']!r} is there, "
            f"and a record needs one of them"
        )
    references = row["references"]
    if references is None:
        raise refuse(f"the field {columns['references']!r} is missing or null")
    references = [references] if isinstance(references, str) else references
    if not isinstance(references, list) or not all(isinstance(text, str) for text in references):
        raise refuse(f"{columns['references']!r} must be a text or a list of texts")
    references = tuple(text.strip() for text in references if text.strip())
    if not references:
        raise refuse(f"{columns['references']!r} holds no reference, at least one is needed")
    for name in ("instruction", "input", "prompt", "teacher_prompt"):
        if row[name] is not None and not isinstance(row[name], str):
            raise refuse(f"{columns[name]!r} must be a text, not {type(row[name]).__name__}")
    texts = [row["instruction"], row["input"], row["prompt"], row["teacher_prompt"], *references]
    if any(HALF_CHARACTER.search(text or "") for text in texts):
        raise refuse("a text holds half of a character (an escape from \\ud800 to \\udfff)")
    return Record(
        instruction=row["instruction"] or "",
        references=references,
        input=row["input"] or "",
        prompt=row["prompt"] or None,
        topic=str(row["topic"] or ""),
        teacher_prompt=row["teacher_prompt"] or None,
        id="" if row["id"] is None else str(row["id"]),
    )


def group_references(records: Iterable[Record]) -> list[Record]:
    """Join records that ask the same into one with all their references, in order of appearance."""
    groups: dict[tuple, list[Record]] = {}
    for record in records:
        key = record.instruction, record.input, record.prompt, record.teacher_prompt
        groups.setdefault(key, []).append(record)
    return [
        replace(
            group[0],
            references=tuple(dict.fromkeys(text for one in group for text in one.references)),
        )
        for group in groups.values()
    ]
