"""`minillm data prepare`: writes the data that a training with the same settings reads.

Prompts and responses become one jsonl file per split; plain text becomes the file of blocks that
`minillm train` would write before its first step (`data/plain_text.py`). A record beside each says
what was dropped, and why. If the same command has already written a file, it is left as it is.
"""

import hashlib
import json
import logging
import os
import shlex
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock
from transformers import PreTrainedTokenizerBase

from minillm.commands.data import jsonl
from minillm.commands.loading import (
    check_data_is_named,
    encode_splits,
    make_tokenizer,
    read_records,
)
from minillm.config import Config
from minillm.data.blocks import prepare
from minillm.data.encoding import Encoded
from minillm.data.faults import Dropped, RowError, dropped_text
from minillm.data.loaders import source_file, splits_of
from minillm.data.plain_text import block_file, check_plain_text
from minillm.data.records import Record
from minillm.data.tokenizers import tokenizer_record
from minillm.errors import InputError, WriteError, first_line
from minillm.files import aside_of, check_writable, read_json, write_all
from minillm.runs import provenance

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
RECORD = "preparation.json"
LOCK = ".lock"


def prepare_data(
    config: Config, output: str | None, *, workers: int | None, drops_malformed: bool
) -> None:
    """Write the splits to `output`, and the blocks of `data.plain_text`.

    Args:
        config: the settings of the training.
        output: a new folder for the splits; None to write no splits.
        workers: number of processes that tokenise plain text; None for one per core.
        drops_malformed: whether rows and lines that cannot be read are dropped and counted.

    Raises:
        InputError: an input is wrong, or `output` holds other files.
        TrainingError: the blocks could not be written.
        WriteError: the splits could not be written.
    """
    check_request(config, output, workers)
    if os.environ.get("RANK", "0") != "0":  # of several processes of a launcher, the first works
        return
    dropped: Dropped | None = {} if drops_malformed else None
    is_read = output is not None or names_no_tokenizer(config)
    try:
        records = read_records(config, splits_of(config.data), dropped) if is_read else {}
        tokenizer = make_tokenizer(config, records.get("train", []))
        if output is not None:
            prepare_splits(config, records, dropped or {}, tokenizer, Path(output))
        if config.data.plain_text is not None:
            prepare_plain_text(config, tokenizer, workers or cores(), drops_malformed)
    except RowError as error:
        raise InputError(f"{error} Or leave out what cannot be read: --drop-malformed.") from error


def check_request(config: Config, output: str | None, workers: int | None) -> None:
    """Refuse a request that is wrong or empty, before anything is read.

    Raises:
        InputError: the message says what to give.
    """
    if workers is not None and workers < 1:
        raise InputError(f"--workers {workers} is not allowed: it must be at least 1.")
    if output is None and config.data.plain_text is None:
        raise InputError(
            "there is nothing to prepare. Give --output FOLDER for prompts and responses, or "
            "data.plain_text=FILE for plain text, or both."
        )
    if config.data.plain_text is not None:
        if not config.method.lm_coef:
            raise InputError(
                f"data.plain_text={config.data.plain_text} is not read with method.lm_coef=0. Give "
                f"the settings of the training, such as experiment=paper/minillm, or leave "
                f"data.plain_text out."
            )
        check_plain_text(config)
    if names_no_tokenizer(config) and config.student.architecture is None:
        raise InputError(
            "no tokenizer is given: set student.path=FOLDER_OR_HUB_NAME as for the training, or "
            "student.tokenizer=FOLDER_OR_HUB_NAME."
        )
    if output is not None:
        check_data_is_named(config)
        if config.data.test_only:
            raise InputError(
                f"data.name={config.data.name} has only a test split (data.test_only=true), so "
                f"that there is no training to prepare. Name other data, such as data=dolly."
            )
        check_folder(Path(output))


def names_no_tokenizer(config: Config) -> bool:
    """Whether the tokenizer is trained on the data."""
    models = (config.student, config.teacher, *config.teacher.members)
    return not (config.student.tokenizer or any(model.path for model in models))


def check_folder(folder: Path) -> None:
    """Refuse a folder with files that this command has not written, and a read-only folder."""
    if os.path.exists(folder) and not folder.is_dir():
        raise InputError(f"--output {folder} is a file. Give the name of a new folder.")
    check_writable(folder, f"--output {folder}", "Give another folder.")
    names = [RECORD, *(f"{split}.jsonl" for split in SPLITS)]
    known = {LOCK, *(aside_of(Path(name)).name for name in names)}
    if (folder / RECORD).exists():
        known.update(names)
    others = sorted({path.name for path in folder.glob("*")} - known)
    if others:
        raise InputError(
            f"--output {folder} holds files of something else ({', '.join(others[:3])}), so "
            f"nothing is written there. Give a new folder."
        )


def cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def prepare_splits(
    config: Config,
    records: dict[str, list[Record]],
    dropped: Dropped,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
) -> None:
    """Write what training and evaluation read of each split, and a record of what was dropped.

    Raises:
        InputError: the folder holds other data.
        WriteError: a file could not be written.
    """
    splits = encode_splits(records, tokenizer, config)
    contents = {f"{name}.jsonl": jsonl(encoded.records) for name, encoded in splits.items()}
    for name, encoded in splits.items():
        print(f"{name}: {encoded.summary(config.data)}")
    print(f"dropped rows: {dropped_text(dropped) or 'none'}")
    record = {
        "sources": sources(config, splits),
        "tokenizer": tokenizer_record(tokenizer),
        "data": asdict(config.data),
        "splits": {
            name: split_record(encoded, contents[f"{name}.jsonl"])
            for name, encoded in splits.items()
        },
        "dropped_rows": dropped,
        "provenance": provenance(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK):
            write_splits(folder, record, contents)
    except OSError as error:
        raise WriteError(
            f"{folder} could not be written: {first_line(error)}. Make room, or give another "
            f"folder, and run the same command again."
        ) from error
    files = " ".join(f"data.{name}={name}.jsonl" for name in splits)
    path = shlex.quote(str(folder))
    print(f"To train on these files, set data.kind=jsonl data.path={path} {files}" +
          ", and leave data.columns out" * bool(config.data.columns))  # fmt: skip


def write_splits(folder: Path, record: dict[str, Any], contents: dict[str, bytes]) -> None:
    """Write the splits that the folder does not have, and the record of this preparation.

    Raises:
        InputError: a split in the folder has another content.
    """
    existing = [name for name in contents if (folder / name).exists()]
    for name in existing:
        if (folder / name).read_bytes() != contents[name]:
            raise InputError(
                f"{folder / name} holds other data, which are not overwritten. Give a new folder, "
                f"or delete {folder} first."
            )
    missing = {folder / name: text for name, text in contents.items() if name not in existing}
    if not is_same(read_json(folder / RECORD), record):
        text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
        # The record is the first, because it shows that this command has written the folder.
        missing = {folder / RECORD: text.encode(), **missing}
    write_all(missing)
    print(f"written: {', '.join(map(str, missing))}" if missing else f"{folder} is complete")


def is_same(saved: dict[str, Any] | None, record: dict[str, Any]) -> bool:
    """Whether a saved record is that of the same preparation, made at any time."""
    made = {"provenance": None}
    return saved is not None and saved | made == json.loads(json.dumps(record)) | made


def sources(config: Config, splits: Iterable[str]) -> list[dict[str, Any]]:
    """The files that the splits were read from. A file of the Hub has its revision in its path."""
    named = [name for name in splits if name != "validation" or config.data.validation]
    files = [source_file(config.data, name) for name in named]
    return [
        {
            "path": str(file),
            "bytes": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for file in dict.fromkeys(files)
        if file is not None
    ]


def split_record(encoded: Encoded, content: bytes) -> dict[str, Any]:
    """Counts of a split, and the checksum of its file."""
    return {
        "inputs": len(encoded.examples),
        "rows": encoded.rows,
        "merged_rows": encoded.merged_rows,
        "dropped_prompts": encoded.dropped_prompts,
        "cut_prompts": encoded.cut_prompts,
        "cut_responses": encoded.cut_responses,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def prepare_plain_text(
    config: Config, tokenizer: PreTrainedTokenizerBase, workers: int, drops_malformed: bool
) -> None:
    """Write the blocks that a training reads, and print their record.

    Raises:
        InputError: the text cannot be read, or is too short.
        TrainingError: the blocks could not be written.
    """
    blocks = block_file(config, tokenizer)
    is_complete = blocks.path.exists()
    for _ in prepare(blocks, tokenizer, workers=workers, drops_malformed=drops_malformed):
        pass
    print(f"plain text: {blocks.path}" + " exists already" * is_complete)
    record = read_json(blocks.record)
    if record is None:  # of an earlier version of this code
        return
    print(
        f"{record['documents']} documents, {record['tokens']} tokens with EOS, {record['blocks']} "
        f"blocks of {record['block_length']} tokens; {record['unused_tokens']} tokens at the end "
        f"are not used"
    )
    empty = {"without text": {"count": record["empty_lines"], "first": []}}
    dropped = (empty if record["empty_lines"] else {}) | record["dropped_lines"]
    print(f"dropped lines: {dropped_text(dropped) or 'none'}")
