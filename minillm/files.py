"""Files that are whole or not there: each is written under another name and then renamed.

While it is written, FILE is called `.FILE.part`. A process that stops then leaves FILE as it was.
Folders of several files are in `training/files.py`.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def aside_of(path: Path) -> Path:
    """The name of a file or folder while it is written."""
    return path.with_name(f".{path.name}.part")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives the file to write to; without an error inside, that file replaces `path` at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = aside_of(path)
    yield aside
    aside.replace(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file."""
    with replacing(path) as aside:
        aside.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a whole file in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a whole file of JSON, indented, in UTF-8."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The value in a file of JSON; None where there is no such file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def copy_file(source: Path, target: Path) -> None:
    """Copy a whole file; its content is on the disk before it replaces `target`."""
    with replacing(target) as aside:
        shutil.copyfile(source, aside)
        sync(aside)


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
