"""Writes files atomically: under a temporary name first, then renamed.

The temporary name of FILE is `.FILE.part`. A process that stops while it writes leaves FILE
unchanged. `training/files.py` does the same for folders.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def aside_of(path: Path) -> Path:
    """The temporary name of a file or folder while it is written."""
    return path.with_name(f".{path.name}.part")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file to write, which replaces `path` at the end unless an error occurs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = aside_of(path)
    yield temporary
    temporary.replace(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a text atomically, in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a value atomically as indented JSON, in UTF-8."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file; None if the file does not exist."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


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
