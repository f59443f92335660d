"""The folder in which the cases run: small data, a run, and broken files."""

import shutil
from pathlib import Path

from tests.commands.answers import formats
from tests.conftest import rows, write_jsonl


def make_world(folder: Path, teacher: Path) -> None:
    """Fill a folder: `my_data` (30 training and 10 test inputs) and the run `runs/teacher`.

    The folder `formats` has the files of `formats.py`.
    """
    (folder / "my_data").mkdir()
    write_jsonl(folder / "my_data/train.jsonl", rows(30))
    write_jsonl(folder / "my_data/test.jsonl", rows(40)[30:])
    shutil.copytree(teacher, folder / "runs/teacher")
    formats.write_files(folder / "formats")


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file below a folder, by relative path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
    }
