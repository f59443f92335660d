"""Reads the splits of a data set into records: embedded, files, and Hub.

Rows with the same input become one record with several references, or stay records of their own
with `data.duplicates=keep`. The same seed gives the same splits. `rows.py` reads the rows, and
`formats.py` turns rows into records.
"""

import random
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path

from minillm.config import DataConfig
from minillm.data.embedded import generate_records
from minillm.data.faults import Dropped, dropped_text
from minillm.data.formats import read_rows
from minillm.data.records import Record
from minillm.data.rows import (
    READERS,
    Rows,
    data_files,
    ending_of,
    file_rows,
    hub_file,
    hub_rows,
    kind_of,
)
from minillm.errors import InputError


def load_records(
    config: DataConfig, splits: Iterable[str], dropped: Dropped | None = None
) -> dict[str, list[Record]]:
    """Read the named splits (`train`, `validation`, `test`) of a data set.

    If the data set has no validation split, `validation_size` random inputs of the training split
    become the validation split; `data.seed` selects them. The two splits share no input and no
    conversation. With `data.hold_out=first`, the first `validation_size` rows of the training split
    become the validation split, as they are.

    Args:
        config: the data set.
        splits: names of splits.
        dropped: receives counts of the rows that cannot be read; None to refuse such rows.

    Raises:
        InputError: a file is missing or empty, a row is malformed, a field or split is missing.
    """
    splits = set(splits)
    if config.test_only and splits != {"test"}:
        raise InputError(
            f"data.name={config.name} has only a test split (data.test_only=true), but this "
            f"command reads the training data. Name other data, such as data=dolly."
        )
    if config.kind == "embedded":
        records = _embedded_records(config.seed)
        return {split: records[split] for split in splits}
    held_out = splits & {"train", "validation"} if config.validation is None else set()
    records = {split: _records(config, split, dropped) for split in sorted(splits - held_out)}
    if held_out and config.hold_out == "first":
        records |= _first_held_out(config, dropped)
    elif held_out:
        train = _records(config, "train", dropped)
        records["train"], records["validation"] = hold_out_validation(
            train, config.validation_size, config.seed
        )
    return {split: records[split] for split in splits}


@cache
def _embedded_records(seed: int) -> dict[str, list[Record]]:
    return generate_records(seed=seed)


def splits_of(config: DataConfig) -> list[str]:
    """The names of the splits that a data set has.

    The test split may be missing, or both others (`data.test_only`).
    """
    if config.test_only:
        return ["test"]
    has_test = config.kind == "embedded" or config.test is not None
    if config.kind == "files" and not has_test:
        has_test = bool(_files_named(Path(config.path), "test"))
    return ["train", "validation", *(["test"] if has_test else [])]


def hold_out_validation(
    records: list[Record], size: int, seed: int
) -> tuple[list[Record], list[Record]]:
    """Split records into training and validation records; both keep the order of `records`.

    All turns of a conversation go to the same split, because the prompt of a turn contains the
    earlier responses. So the number of validation records may be a little above `size`.
    """
    groups: dict[tuple, list[int]] = {}
    for i, record in enumerate(records):
        groups.setdefault(record.opening, []).append(i)
    indices = list(groups.values())
    held_out: set[int] = set()
    for group in random.Random(seed).sample(range(len(indices)), min(size, len(indices))):
        if len(held_out) < size:
            held_out.update(indices[group])
    if len(held_out) == len(records):
        raise InputError(
            f"data.validation_size={size} leaves no training data: the training split has "
            f"{len(records)} inputs{_in_conversations(len(records), len(indices))}. Set a smaller "
            f"size."
        )
    train = [record for i, record in enumerate(records) if i not in held_out]
    return train, [records[i] for i in sorted(held_out)]


def _in_conversations(inputs: int, conversations: int) -> str:
    if inputs == conversations:
        return ""
    return f" in {conversations} conversations (they differ in their first message of the user)"


def _first_held_out(config: DataConfig, dropped: Dropped | None) -> dict[str, list[Record]]:
    """The first `validation_size` rows as validation split, and the others as training split.

    This is the split of the official code (tools/process_data_dolly.py, `--dev-num`).
    """
    rows = _rows(config, "train")
    validation = [*islice(rows, config.validation_size)]
    train = [*rows]
    if not train:
        raise InputError(
            f"data.validation_size={config.validation_size} leaves no training data: the training "
            f"split has {len(validation)} rows. Set a smaller size."
        )
    return {
        "train": _records_of(train, config, "train", dropped),
        "validation": _records_of(validation, config, "validation", dropped),
    }


def _records(config: DataConfig, split: str, dropped: Dropped | None) -> list[Record]:
    return _records_of(_rows(config, split), config, split, dropped)


def _records_of(
    rows: Rows, config: DataConfig, split: str, dropped: Dropped | None
) -> list[Record]:
    records = [*read_rows(rows, config, dropped)]
    if not records:
        raise InputError(
            f"no row of the {split} split can be read: {dropped_text(dropped)}. Give another file, "
            f"or see `minillm data` with the same settings."
        )
    return group_references(records) if config.duplicates == "merge" else records


def _rows(config: DataConfig, split: str) -> Rows:
    """The rows of a split, at least one."""
    source = source_file(config, split)
    if source is None:
        name = getattr(config, split) or split
        rows = hub_rows(config.path, config.subset, name, split=split, revision=config.revision)
        source = config.path
    else:
        kind = kind_of(source) if config.kind in ("files", "hub") else config.kind
        rows = file_rows(source, kind)
    is_empty = True
    for row in rows:
        is_empty = False
        yield row
    if is_empty:
        raise InputError(
            f"the {split} split is empty: {source} must hold at least one row. Give another file."
        )


def source_file(config: DataConfig, split: str) -> Path | None:
    """The file of a split that is read; None for embedded data and for splits of the Hub.

    Raises:
        InputError: the settings name no file, or a file of the Hub cannot be loaded.
    """
    if config.kind == "embedded":
        return None
    if config.kind == "hub":
        name = getattr(config, split) or split
        is_file = ending_of(Path(name)) in READERS
        return (
            hub_file(config.path, name, split=split, revision=config.revision) if is_file else None
        )
    return _file_of(config, split)


def _file_of(config: DataConfig, split: str) -> Path:
    """The file of a split.

    Raises:
        InputError: the settings name no file, or more than one.
    """
    name, path = getattr(config, split), Path(config.path)
    if name is not None and path.is_file():
        raise InputError(
            f"data.{split}={name} must be a file in the folder data.path, but data.path={path} "
            f"is a file. Set data.{split}=null, or set data.path to the folder of {name}."
        )
    if not path.is_dir():
        return path
    if name is not None:
        return path / name
    if config.kind == "files":
        return _only_file_named(path, split)
    raise InputError(
        f"data.{split} is not set, and data.path={path} is a folder. Name the file of "
        f"that folder with the {split} split: data.{split}=FILE."
    )


def _only_file_named(folder: Path, split: str) -> Path:
    """The file SPLIT.ENDING of a folder."""
    files = _files_named(folder, split)
    if len(files) == 1:
        return files[0]
    names = ", ".join(file.name for file in files or data_files(folder))
    held = f"has {names}" if names else "has no data file"
    raise InputError(
        f"data.{split} is not set, and data.path={folder} {held}, but one file {split}.ENDING is "
        f"needed (endings: {', '.join(READERS)}). Name the file of the {split} split: "
        f"data.{split}=FILE."
    )


def _files_named(folder: Path, split: str) -> list[Path]:
    """The files SPLIT.ENDING of a folder, with the endings of known formats."""
    files = [file for file in sorted(folder.glob("*")) if file.is_file()]
    return [file for file in files if file.stem == split and ending_of(file) in READERS]


def group_references(records: Iterable[Record]) -> list[Record]:
    """Merge records with the same input into one record with all references of the group.

    Records and references keep the order of their first occurrence.
    """
    groups: dict[tuple, list[Record]] = {}
    for record in records:
        groups.setdefault((record.question, record.teacher_prompt), []).append(record)
    return [
        replace(
            group[0],
            references=tuple(dict.fromkeys(text for record in group for text in record.references)),
            rows=len(group),
        )
        for group in groups.values()
    ]
