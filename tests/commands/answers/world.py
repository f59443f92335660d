"""The folder in which the cases run: small data, a run, and broken files."""

import shutil
from pathlib import Path

from tests.conftest import rows, write_jsonl


def make_world(folder: Path, teacher: Path) -> None:
    """Fill a folder: `my_data` (30 training and 10 test inputs) and the run `runs/teacher`."""
    (folder / "my_data").mkdir()
    write_jsonl(folder / "my_data/train.jsonl", rows(30))
    write_jsonl(folder / "my_data/test.jsonl", rows(40)[30:])
    shutil.copytree(teacher, folder / "runs/teacher")
    add_outputs(folder)


def add_outputs(folder: Path) -> None:
    """`link` to the run, a run `copy` with a cut result, a `damaged` model, and more of the run."""
    (folder / "link").symlink_to("runs/teacher")
    shutil.copytree(folder / "runs/teacher", folder / "copy")
    (folder / "copy/evaluation").mkdir()
    (folder / "copy/evaluation/jsonl.json").write_text("{")
    shutil.copytree(folder / "copy/best", folder / "damaged")
    weights = folder / "damaged/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    (folder / "runs/teacher/logs/responses.jsonl").write_text("{}\n")
    shutil.copytree(folder / "my_data", folder / "runs/teacher/logs/data")


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file below a folder, by relative path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
    }
