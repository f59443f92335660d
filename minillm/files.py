"""Writes files atomically: under a temporary name first, then renamed.

The temporary name of FILE is `.FILE.part`. A process that stops while it writes leaves FILE
unchanged. `training/files.py` does the same for folders.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from minillm.errors import InputError, WriteError, first_line


def check_writable(folder: Path, setting: str, advice: str) -> None:
    """Refuse a folder in which no file can be written. Nothing is created.

    Args:
        folder: need not exist; then its nearest existing parent is tested.
        setting: how the command line names the folder, for the message, such as `output=runs/a`.
        advice: what to do instead, for the message.

    Raises:
        InputError: the message says why no file can be written.
    """
    try:
        existing = next(x for x in [folder, *folder.absolute().parents] if os.path.lexists(x))
        tempfile.TemporaryFile(dir=existing).close()
        folder.is_dir()  # this fails if a name is too long
    except OSError as error:
        raise InputError(f"{setting} cannot be written: {first_line(error)}. {advice}") from error


def check_new_folder(folder: Path, given: str) -> None:
    """Refuse a folder that holds files or cannot be written. Nothing is created.

    Args:
        folder: need not exist.
        given: how the command line names the folder, for the message, such as `--export data`.

    Raises:
        InputError: the message says what is wrong with the folder.
    """
    if os.path.exists(folder) and not folder.is_dir():
        raise InputError(f"{given} is a file. Give the name of a new folder.")
    check_writable(folder, given, "Give another folder.")
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty, so nothing is written there. Give a new folder.")


def aside_of(path: Path) -> Path:
    """The temporary name of a file or folder while it is written."""
    return path.with_name(f".{path.name}.part")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file to write, which replaces `path` at the end unless an error occurs."""
    with replacing_all([path]) as (temporary,):
        yield temporary


@contextmanager
def replacing_all(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """`replacing` for several files. Until all of them are written, none of `paths` is changed."""
    temporaries = [aside_of(path) for path in paths]
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield temporaries
        for temporary, path in zip(temporaries, paths, strict=True):
            temporary.replace(path)
    except BaseException:
        for temporary in temporaries:
            with suppress(OSError):
                temporary.unlink()
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Write several files atomically. Until all of them are written, none of them is changed."""
    with replacing_all(list(contents)) as temporaries:
        for temporary, content in zip(temporaries, contents.values(), strict=True):
            temporary.write_bytes(content)


def write_results(contents: Mapping[Path, bytes]) -> None:
    """`write_all` for files that the same command can make again.

    Raises:
        WriteError: the message says which file could not be written, and why.
    """
    try:
        write_all(contents)
    except OSError as error:
        folder = next(iter(contents)).parent
        raise WriteError(
            f"{folder} could not be written: {first_line(error)}. The files in this folder are as "
            f"before. Remove the cause, or give another folder."
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a text atomically, in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a value atomically as indented JSON, in UTF-8."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def json_lines(rows: Iterable[Any]) -> str:
    """Values as the content of a jsonl file: one line per value."""
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def read_json(path: Path) -> Any:
    """The value in a JSON file; None if the file does not exist.

    Raises:
        InputError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of the encoding, or of JSON
        raise InputError(
            f"{path} is damaged: {first_line(error)}. Restore this file, such as from a copy."
        ) from error


def copy_file(source: Path, target: Path) -> None:
    """Copy a file atomically; the content is on the disk before the copy replaces `target`."""
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
        sync(temporary)


def sync(path: Path) -> None:
    """Wait until the content of a file, or the list of files of a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
