"""Folders that are whole or not there: written aside, listed with their hashes, synced, renamed."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from safetensors import SafetensorError

from minillm.errors import TrainingError, first_line
from minillm.files import aside_of, sync

MANIFEST = "manifest.json"
# What writers raise when a disk is full: torch and safetensors have errors of their own.
WRITE_ERRORS = (OSError, RuntimeError, SafetensorError)


def begin_folder(folder: Path) -> Path:
    """An empty folder aside; what an interruption left there is removed."""
    aside = aside_of(folder)
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    return aside


def put_in_place(folder: Path) -> None:
    """Rename what lies aside and is on the disk; an older folder of the name is removed last."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    aside_of(folder).rename(folder)
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Have a folder with everything below it on the disk."""
    for path in [*folder.rglob("*"), folder]:
        sync(path)


def files_below(folder: Path) -> list[str]:
    """Every file, as a path within the folder, in order."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(map(str, found))


def listing(folder: Path, names: Iterable[str]) -> dict[str, dict]:
    """Bytes and SHA-256 of files."""
    return {
        name: {"bytes": (folder / name).stat().st_size, "sha256": _hash(folder / name)}
        for name in names
    }


def read_manifest(folder: Path) -> dict | None:
    """The manifest, or None where there is none that can be read."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        sizes = [(file["bytes"], file["sha256"]) for file in manifest["files"].values()]
        return manifest if sizes and manifest["processes"] else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def fault(folder: Path) -> str | None:
    """What is wrong with a folder by its manifest, in words; None where it is whole."""
    manifest = read_manifest(folder)
    if manifest is None:
        return f"{MANIFEST} is missing or cannot be read"
    for name, file in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        size = path.stat().st_size
        if size != file["bytes"]:
            return f"{name} has {size} bytes of {file['bytes']}"
    for name, file in manifest["files"].items():
        if _hash(folder / name) != file["sha256"]:
            return f"{name} was changed: its hash is another"
    return None


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_folder(source: Path, target: Path) -> None:
    """Copy a model's folder; its weights, which nothing changes in place, as hard links."""

    def copy(one: str, other: str) -> None:
        if one.endswith(".safetensors"):
            with contextlib.suppress(OSError):  # not every file system has them
                return os.link(one, other)
        return shutil.copyfile(one, other)

    shutil.copytree(source, target, copy_function=copy)


def not_written(folder: Path, error: Exception) -> TrainingError:
    """The error of a folder that could not be written: which, why, and the space that is left."""
    free = shutil.disk_usage(next(path for path in folder.parents if path.exists())).free
    return TrainingError(
        f"{folder} could not be written: {first_line(error)} ({free / 1e6:,.1f} MB are free "
        f"there). Earlier checkpoints are kept: mend that, then go on with resume=auto."
    )
