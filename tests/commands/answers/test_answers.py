"""The command answers every case as its table says, and neither writes nor deletes a file."""

import os
import shlex

import pytest

from tests.commands.answers import (
    data,
    formats,
    in_and_out,
    judge,
    lora,
    models,
    outputs,
    precision,
    pruning,
    results,
    settings,
    sweeps,
    system2,
)
from tests.commands.answers.page import page
from tests.commands.answers.world import listing, make_world
from tests.conftest import call
from tests.documents.reading import WRONG_INPUT

TABLES = {
    "Command line and settings": settings.CASES,
    "Data": data.CASES,
    "Formats of data": formats.CASES,
    "Outputs": outputs.CASES,
    "Precision": precision.CASES,
    "Wrong results": results.CASES,
    "Models": models.CASES,
    "Pruning": pruning.CASES,
    "Sweeps": sweeps.CASES,
    "System 2": system2.CASES,
    "Adapters and 4-bit weights": lora.CASES,
    "Scores of a judge": judge.CASES,
    "In and out": in_and_out.CASES,
}


@pytest.fixture(scope="module")
def world(teacher, tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    make_world(folder, teacher)
    return folder


CASES = [case for cases in TABLES.values() for case in cases]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.given)
def test_answer(case, world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    for name, value in case.variables:
        monkeypatch.setitem(os.environ, name, value)
    before = listing(world)
    status = call(*shlex.split(case.given))
    lines = capsys.readouterr().err.splitlines()
    assert (status, listing(world)) == (case.status, before)
    assert "Traceback" not in lines
    assert case.accepts(lines[0]), lines[0]


def test_the_page_of_wrong_input_is_current():
    command = "python -m tests.commands.answers.test_answers"
    assert WRONG_INPUT.read_text("utf-8") == page(TABLES), f"write the page again: {command}"


if __name__ == "__main__":
    WRONG_INPUT.write_text(page(TABLES), encoding="utf-8")
