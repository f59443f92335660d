"""No work is lost: results that exist or cannot be written, full disks, and closed pipes."""

import errno
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import call

QUICK = ["evaluation.seeds=[10]", "evaluation.limit=2", "evaluation.greedy=false"]
OPEN = Path.open


@pytest.fixture
def runs(teacher, tmp_path):
    """Two runs, `a` and `b`, in different folders with the same name."""
    for name in ("a", "b"):
        shutil.copytree(teacher, tmp_path / name / "run")


@pytest.fixture
def fill_disk(monkeypatch):
    """Makes every write below some folders fail as on a full disk."""

    def fill(*folders):
        full = [Path(folder).resolve() for folder in folders]

        def opened(path, mode="r", *arguments, **options):
            if mode[0] in "wa" and any(path.resolve().is_relative_to(x) for x in full):
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            return OPEN(path, mode, *arguments, **options)

        monkeypatch.setattr(Path, "open", opened)

    return fill


def files(folder):
    return sorted(str(x.relative_to(folder)) for x in Path(folder).rglob("*") if x.is_file())


def test_an_existing_result_is_skipped(command, runs, caplog):
    assert command("evaluate", "a/run", *QUICK).status == 0
    file = Path("a/run/evaluation/tiny.json")
    content = file.read_bytes()
    outcome = command("evaluate", "a/run", "b/run", "a/run/best", *QUICK)
    assert outcome.status == 0 and "a/run is skipped: a/run/evaluation/tiny.json" in caplog.text
    assert "a/run/best is scored once: a/run is the same model" in caplog.text
    assert file.read_bytes() == content and Path("b/run/evaluation/tiny.json").is_file()
    assert command("evaluate", "a/run", *QUICK, "overwrite=true").status == 0
    assert file.read_bytes() != content  # another time


def test_a_result_of_something_else_is_not_skipped(command, runs):
    """Otherwise the old numbers would pass for the new ones."""
    assert command("evaluate", "a/run", *QUICK).status == 0
    content = Path("a/run/evaluation/tiny.json").read_bytes()
    for options, difference in [
        (["evaluation.limit=3"], "evaluation.limit was 2, now 3"),
        (["teacher.path=b/run/best"], "teacher.path was None, now run/best"),
    ]:
        outcome = command("evaluate", "b/run", "a/run", *QUICK, *options)
        assert outcome.status == 2 and difference in outcome.err
        assert "a/run/evaluation/tiny.json exists and is not overwritten" in outcome.err
        assert "overwrite=true" in outcome.err and not Path("b/run/evaluation").exists()
    summary = json.loads(Path("a/run/summary.json").read_text())
    summary["history"].append({"step": 9})
    Path("a/run/summary.json").write_text(json.dumps(summary))
    outcome = command("evaluate", "a/run", *QUICK)
    assert outcome.status == 2 and "trained again or continued" in outcome.err
    assert Path("a/run/evaluation/tiny.json").read_bytes() == content


def test_the_result_of_a_replaced_model_is_not_skipped(command, runs):
    model = shutil.copytree("a/run/best", "model")
    assert command("evaluate", "model", *QUICK).status == 0
    os.utime(f"{model}/model.safetensors", ns=(2**62, 2**62))  # as another model in its place
    outcome = command("evaluate", "model", *QUICK)
    assert outcome.status == 2 and "the weights in model were written after" in outcome.err


def test_results_of_several_models_in_one_folder_have_different_names(command, runs):
    models = ["a/run", "b/run", "b/run/last"]
    outcome = command("evaluate", *models, *QUICK, "output=all", "overwrite=true")
    assert outcome.status == 0, outcome.err
    names = ["a-run", "b-run", "b-run-last"]
    expected = {f"tiny.{name}.{kind}" for name in names for kind in ("json", "responses.jsonl")}
    expected |= {f"tiny.{name}/temperature-1.0_seed-10.json" for name in names}
    assert set(files("all/evaluation")) == expected
    for name, path in zip(names, ["a/run/best", "b/run/best", "b/run/last"], strict=True):
        result = json.loads(Path(f"all/evaluation/tiny.{name}.json").read_text())
        assert result["config"]["student"]["path"] == path
    assert command("evaluate", "a/run", "b/run", *QUICK).status == 0
    assert Path("b/run/evaluation/tiny.json").is_file()  # different folders: the usual names


def test_scores_that_cannot_be_written_are_written_elsewhere(command, runs, fill_disk, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(Path("spare").absolute()))
    Path("spare").mkdir()
    fill_disk("a")
    outcome = command("evaluate", "a/run", *QUICK)
    assert outcome.status == 74 and "Traceback" not in outcome.err
    assert "a/run/evaluation/tiny.json could not be written" in outcome.err
    (folder,) = Path("spare").iterdir()
    assert str(folder) in outcome.err and "Move both to a/run/evaluation" in outcome.err
    assert files(folder) == ["tiny.json", "tiny.responses.jsonl"]
    assert files("a/run/evaluation") == []
    fill_disk("a", "spare")
    outcome = command("evaluate", "a/run", *QUICK)
    assert outcome.status == 74 and "standard output" in outcome.err
    printed = json.loads(outcome.out)
    kept = json.loads((folder / "tiny.json").read_text())
    assert printed["metrics"] == kept["metrics"]


def test_a_full_disk_leaves_the_old_report_and_no_half_export(command, settings, runs, fill_disk):
    assert command("evaluate", "a/run", *QUICK).status == 0
    assert command("report", "a/run", "--output", "tables", "--title", "Old").status == 0
    before = {name: Path("tables", name).read_bytes() for name in files("tables")}
    fill_disk("tables/.training.png.part", "new/.validation.jsonl.part")
    outcome = command("report", "a/run", "--output", "tables", "--title", "New")
    assert outcome.status == 74 and "tables could not be written" in outcome.err
    assert {name: Path("tables", name).read_bytes() for name in files("tables")} == before
    outcome = command("data", *settings, "--export", "new")
    assert outcome.status == 74 and "new could not be written" in outcome.err
    assert files("new") == [] and outcome.out == ""
    outcome = command("report", "a/run", "--output", "/proc/tables")
    assert outcome.status == 2 and "/proc/tables for the report cannot be written" in outcome.err


def test_a_closed_pipe_ends_the_command_quietly(settings, monkeypatch, capsys):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert call("data", *settings) == 141
    assert "Traceback" not in capsys.readouterr().err


def test_a_full_disk_under_the_standard_output_is_reported(settings, monkeypatch, capsys):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert call("data", *settings) == 74
    message = "minillm: the output could not be written: No space left on device."
    assert capsys.readouterr().err.splitlines() == [message]


def test_responses_of_the_teacher_survive_a_full_disk(command, settings, teacher, fill_disk):
    """The same command continues, although the disk was full at the first or a later batch."""
    train = ["train", *settings, "method=seqkd", "method.generation_batch_size=8", "output=out",
             f"student.path={teacher}/best", f"teacher.path={teacher}/best",
             "method.file=responses.jsonl"]  # fmt: skip
    for full, written in ((".responses.jsonl.part", []), ("responses.jsonl", ["responses.jsonl"])):
        fill_disk(full)
        outcome = command(*train)
        assert outcome.status == 3 and "Traceback" not in outcome.err
        assert "responses.jsonl could not be written: " in outcome.err
        assert "run the same command again" in outcome.err and not Path("out").exists()
        assert files(".") == written
    fill_disk()
    assert command(*train).status == 0
