"""Folders that are either complete or absent, even after an interruption.

A folder is written under a temporary name, with a manifest that lists the hashes of its files. When
all files are on the disk, the folder is renamed.
"""

import contextlib
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from safetensors import SafetensorError

from minillm.errors import TrainingError, first_line
from minillm.files import aside_of, sync

MANIFEST = "manifest.json"
# Errors of a full disk and of similar faults. torch and safetensors raise errors of other types.
WRITE_ERRORS = (OSError, RuntimeError, SafetensorError)


def begin_folder(folder: Path) -> Path:
    """Create the empty temporary folder of `folder`. Files of an interrupted write are removed."""
    aside = aside_of(folder)
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    return aside


def put_in_place(folder: Path) -> None:
    """Rename the temporary folder to `folder`. An older `folder` is removed at the end.

    The files of the temporary folder must already be on the disk (`sync_folder`).
    """
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    aside_of(folder).rename(folder)
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def equalize_permissions(folder: Path, example: Path) -> None:
    """Give all files below a folder the permissions of the file `example`.

    A file that Python creates has the permissions of the umask. Files of safetensors can be read by
    their owner only.
    """
    mode = stat.S_IMODE(example.stat().st_mode)
    for name in files_below(folder):
        (folder / name).chmod(mode)


def sync_folder(folder: Path) -> None:
    """Wait until a folder and everything below it are on the disk."""
    for path in [*folder.rglob("*"), folder]:
        sync(path)


def files_below(folder: Path) -> list[str]:
    """The sorted paths of all files below a folder, relative to the folder."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(map(str, found))


def listing(folder: Path, names: Iterable[str]) -> dict[str, dict]:
    """Size in bytes and SHA-256 of the named files."""
    return {
        name: {"bytes": (folder / name).stat().st_size, "sha256": _hash(folder / name)}
        for name in names
    }


def read_manifest(folder: Path) -> dict | None:
    """The manifest of a folder, or None if the manifest is missing or cannot be read."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        sizes = [(file["bytes"], file["sha256"]) for file in manifest["files"].values()]
        return manifest if sizes and manifest["processes"] else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def fault(folder: Path) -> str | None:
    """The first difference between a folder and its manifest, in words; None if there is none."""
    manifest = read_manifest(folder)
    if manifest is None:
        return f"{MANIFEST} is missing or cannot be read"
    for name, file in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        size = path.stat().st_size
        if size != file["bytes"]:
            return f"{name} has {size} bytes instead of {file['bytes']}"
    for name, file in manifest["files"].items():
        if _hash(folder / name) != file["sha256"]:
            return f"{name} was changed: its SHA-256 is not that of the manifest"
    return None


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_folder(source: Path, target: Path) -> None:
    """Copy the folder of a model. Weights become hard links, as no code changes them in place."""

    def copy(one: str, other: str) -> None:
        if one.endswith(".safetensors"):
            with contextlib.suppress(OSError):  # not every file system supports hard links
                return os.link(one, other)
        return shutil.copyfile(one, other)

    shutil.copytree(source, target, copy_function=copy)


def not_written(folder: Path, error: Exception) -> TrainingError:
    """The error for a folder that could not be written: the folder, the reason, the free space."""
    free = shutil.disk_usage(next(path for path in folder.parents if path.exists())).free
    return TrainingError(
        f"{folder} could not be written: {first_line(error)} ({free / 1e6:,.1f} MB are free "
        f"there). Earlier checkpoints are kept. Remove the cause, then continue with resume=auto."
    )
