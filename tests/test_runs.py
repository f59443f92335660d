"""Output folders that are not empty are kept. Only overwrite=true replaces a run."""

from pathlib import Path

import pytest

from tests.conftest import BUILT


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def run_folder(command, settings):
    assert command("train", *settings, *BUILT, "training.steps=1", "output=run").status == 0
    return Path("run")


def test_another_run_is_overwritten_only_with_overwrite(command, settings, run_folder):
    before = contents(run_folder)
    again = ["train", *settings, *BUILT, "training.steps=1", "output=run", "runtime.seed=5"]
    outcome = command(*again)
    assert outcome.status == 2
    assert "output=run holds another run" in outcome.err and "overwrite=true" in outcome.err
    assert contents(run_folder) == before
    assert command(*again, "overwrite=true").status == 0
    assert "seed: 5" in (run_folder / "config.yaml").read_text()


@pytest.mark.parametrize("name", ["notes.txt", "config.yaml"])
def test_files_that_no_run_wrote_are_never_deleted(command, settings, tmp_path, name):
    """A folder with the config.yaml of another program is not a run."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / name).write_text("mine")
    (folder / "thesis.tex").write_text("years of work")
    before = contents(folder)
    outcome = command("train", *settings, *BUILT, "output=mine", "overwrite=true")
    assert outcome.status == 2
    assert "output=mine" in outcome.err and "another output=FOLDER" in outcome.err
    assert contents(folder) == before


def test_a_run_with_an_added_file_is_not_deleted(command, settings, run_folder):
    (run_folder / "notes.txt").write_text("mine")
    outcome = command("train", *settings, *BUILT, "output=run", "overwrite=true")
    assert outcome.status == 2 and "notes.txt" in outcome.err
    assert (run_folder / "notes.txt").read_text() == "mine"


def test_an_output_that_is_a_file_is_refused(command, settings, tmp_path):
    (tmp_path / "file").write_text("mine")
    outcome = command("train", *settings, *BUILT, "output=file")
    assert outcome.status == 2 and "output=file is a file" in outcome.err
