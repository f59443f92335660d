"""What `train` and `evaluate` say on stderr: where everything lies, losses, progress and scores."""

import json
import logging
import shutil
import time
from pathlib import Path

import pytest

from minillm import progress
from minillm.cli import print_error
from minillm.errors import InputError
from minillm.processes import failing_together
from tests.conftest import BUILT


@pytest.fixture
def said(command, monkeypatch, caplog):
    """Runs the command with a progress line at every step; returns stdout, and what it logs."""
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)

    def run(*arguments):
        caplog.clear()
        outcome = command(*arguments)
        assert outcome.status == 0, outcome.err
        return outcome.out, "".join(f"{record.getMessage()}\n" for record in caplog.records)

    return run


def test_a_run_says_where_everything_lies_and_shows_its_progress(said, settings):
    run = ["train", *settings, *BUILT, "method=sft", "output=my runs/a"]
    out, text = said(*run)
    start, _, text = text.partition("validation at step 0")
    assert out == ""
    assert "my runs/a" in start and "Ctrl-C" in start and "resume=auto" in start
    steps, _, end = text.partition("Done: 3 steps")
    check_steps(steps)
    rows = end.splitlines()[1:]
    names = ["best model", "last model", "metrics", "logs", "evaluate with"]
    assert [row[:16].strip() for row in rows] == names
    for row, name in zip(rows, ("best", "last", "metrics.jsonl", "logs"), strict=False):
        assert f"my runs/a/{name}" in row and Path("my runs/a", name).exists()
    best = json.loads(Path("my runs/a/summary.json").read_text())["best"]
    assert f"step {best['step']}: loss {best['loss']:.3f}, ROUGE-L" in rows[0]
    assert "minillm evaluate 'my runs/a'" in rows[-1]
    _, text = said(*run, "resume=auto", "training.steps=4")
    assert "continues at step 3 of 4 steps" in text


def check_steps(text):
    """Each step has a line with its loss, its speed and the time left; so have validations."""
    metrics = [json.loads(x) for x in Path("my runs/a/metrics.jsonl").read_text().splitlines()]
    losses = [(x["loss/total"], x["loss/cross_entropy"]) for x in metrics if "loss/total" in x]
    assert len(losses) == 3 and all(a == pytest.approx(b, rel=1e-4) for a, b in losses)
    lines = [line for line in text.splitlines() if line.startswith("a: ")]
    for step, (line, (loss, _)) in enumerate(zip(lines, losses, strict=True), start=1):
        assert line.startswith(f"a: {step} of 3 steps") and f"loss {loss:.3g}," in line
        assert " s left, " in line and " steps/s, " in line
    assert "validation: 5 of 5 responses (100%)" in text


@pytest.mark.parametrize(
    ("method", "line"),
    [
        ("minillm", "sampling: 8 of 8 responses (100%)"),
        ("seqkd", "teacher: 25 of 25 responses (100%)"),
    ],
)
def test_sampling_shows_its_responses(said, settings, teacher, method, line):
    models = [f"student.path={teacher}/best", f"teacher.path={teacher}/best"]
    size = ["method.rollouts_per_collection=8"] if method == "minillm" else []
    steps = ["training.steps=1", "output=out"]
    _, text = said("train", *settings, f"method={method}", *models, *size, *steps)
    assert line in text


def test_evaluation_shows_its_progress_and_a_table(said, teacher):
    shutil.copytree(teacher, "run")
    out, text = said("evaluate", "run", "evaluation.seeds=[10,20]", "evaluation.frontier=[0.5]")
    assert out == ""
    for title, done in (("seed 10", 10), ("seed 20", 20), ("greedy", 30),
                        ("frontier, temperature 0.5", 50)):  # fmt: skip
        assert f"evaluation, {title}: {done} of 50 responses" in text
    table = text[text.index("sft on tiny: 10 inputs, 2 seeds at temperature 1") :]
    length = json.loads(Path("run/evaluation/tiny.json").read_text())["metrics"]["length"]
    (row,) = [line for line in table.splitlines() if line.startswith("length")]
    mean, low, high, greedy = (f"{length[x]:.1f}" for x in ("mean", "ci_low", "ci_high", "greedy"))
    assert row.split() == ["length", mean, low, "to", high, greedy, "tokens"]
    assert "temperature 0.5 " in table and "written: run/evaluation/tiny.json" in table


def test_generation_prints_only_responses_to_stdout(said, teacher):
    shutil.copytree(teacher, "run")
    out, text = said("generate", "run", "evaluation.limit=3")
    assert len([json.loads(line) for line in out.splitlines()]) == 3
    assert "generate: 3 of 3 responses (100%)" in text


def test_a_report_says_which_files_it_wrote(said, teacher):
    shutil.copytree(teacher, "run")
    said("evaluate", "run", "evaluation.seeds=[1]", "evaluation.limit=2")
    out, text = said("report", "run", "--output", "tables")
    assert out.startswith("| data") and "written to tables: " in text
    assert all(path.name in text for path in Path("tables").iterdir())


def test_an_error_that_all_processes_know_is_printed_by_the_main_process(monkeypatch, capsys):
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(InputError) as shared, failing_together(InputError):
        raise InputError("no data")
    print_error(shared.value)
    assert capsys.readouterr().err == "minillm: no data\n"
    monkeypatch.setenv("RANK", "1")
    print_error(shared.value)
    assert capsys.readouterr().err == ""
    print_error(InputError("no memory"))
    assert capsys.readouterr().err == "minillm: no memory (process 1)\n"


def test_only_the_main_process_logs(command, monkeypatch):
    """All processes of a launcher read the same data, and would print the same warnings."""
    monkeypatch.setenv("RANK", "1")
    command("list", "methods")
    assert not logging.getLogger("minillm").isEnabledFor(logging.WARNING)
    monkeypatch.delenv("RANK")
    command("list", "methods")
    assert logging.getLogger("minillm").isEnabledFor(logging.INFO)
