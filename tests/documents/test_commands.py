"""The commands that the documents show can be run as they are printed.

A command of README or docs runs in a folder with small data and small models, with more settings
after those that are printed, so that it takes less than a second. Other commands are in `NOT_RUN`
with a reason. Their files, options and settings are checked.
"""

import json
import re
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from minillm.config import ModelConfig
from minillm.data.tokenizers import train_tokenizer
from minillm.models.language_model import build_model
from tests.conftest import call, rows, write_jsonl
from tests.documents.checking import check
from tests.documents.reading import (
    GUIDES,
    PAGES,
    README,
    Command,
    commands,
    inline_commands,
    misplaced_code,
)
from tests.documents.reading import name_of as name

# The start of a command, and why this test does not run the command.
NOT_RUN = {
    "bash scripts/quickstart.sh": "takes six minutes, and is a part of .ci/run",
    "source .venv/bin/activate": "changes the shell of the reader",
    "bash scripts/launch.sh": "needs many GPUs; the script runs with a fake launcher",
    "bash scripts/gpt2/": "needs GPUs and the Hub; tests/families runs it with tiny models",
    "bash scripts/tables.sh": "needs runs of scripts/gpt2; tests/reporting/paper runs the script",
    "minillm report paper": "needs runs of scripts/gpt2; tests/reporting/paper makes all tables",
    "bash scripts/e2e/": "takes hours and needs E2E NLG",
    "python -m minillm train experiment=e2e": "takes hours and needs E2E NLG",
    "python -m studies.answer_plans": "needs the runs of scripts/quickstart.sh",
    "python -m studies.estimators": "takes half a minute and writes to docs/",
    "python -m studies.gradient_noise": "takes minutes and needs E2E NLG",
    "python -m studies.model_families": "takes minutes and writes to docs/",
    "minillm data data=self_inst": "needs the Hub",
    "minillm evaluate runs/minillm data=sinst": "needs a copy of S-NI",
    "minillm evaluate runs/minillm data=sst2": "needs the Hub",
    "minillm evaluate runs/minillm data=boolq": "needs the Hub",
    "minillm prune models/smollm2": "takes minutes and needs SmolLM2",
    "bash scripts/smollm2/": "takes minutes to hours and needs SmolLM2",
    "minillm judge": "needs a server; tests/judging runs it with one",
    "transformers serve": "serves until it is stopped",
    "minillm sweep": "takes minutes; tests/sweeps runs sweeps",
    "minillm report sweep": "needs a sweep; tests/sweeps makes a report",
    "minillm train --multirun": "takes minutes; tests/sweeps runs sweeps",
    "minillm train experiment=embedded/kd output=runs/kd_sharper": "takes a minute",
    "minillm evaluate runs/kd_sharper": "needs the run of the command above",
    "minillm system2": "needs a model that answers; tests/system2 does all steps",
    "python scripts/system2/questions.py": "needs the Hub; tests/system2 runs it with files",
    "bash scripts/system2/run.sh": "takes half an hour",
    "minillm chat": "reads the lines of a user; tests/commands/test_chat.py types them",
    "taskset -c 0 python -m benchmarks.": "takes minutes",
    "pip install": "changes the installation",
}

# Lines of train.jsonl and test.jsonl. `my_data` has the 200 lines of README, and `DATA` has enough
# lines for the default of data.validation_size.
LINES = {"my_data": (180, 20), "DATA": (520, 20)}
# The width of the models that the documents name.
SIZES = {"models/small": 16, "STUDENT": 16, "models/large": 32, "TEACHER": 32}

# Settings after those of the document: small and quick.
QUICK_RUN = ["training.steps=2", "training.epochs=null", "training.batch_size=4",
             "training.evaluate_every=2", "training.validation_inputs=20",
             "data.max_prompt_length=160", "data.max_response_length=8",
             "evaluation.seeds=[10,20]", "runtime.device=cpu", "runtime.threads=1"]  # fmt: skip
QUICK_MINILLM = ["method.rollouts_per_collection=4"]

# The settings that `...` leaves out of a command of docs/.
LEFT_OUT = ["data=paper", "data.path=my_data", "data.validation_size=20",
            "student.path=runs/init/best", "teacher.path=runs/teacher/best"]  # fmt: skip

# Pages that begin with data and models, as README does, and not with the runs of README.
BEGINS_WITHOUT_RUNS = ["docs/own_models.md"]

# Commands that run before those of a page: the page compares with a run of KD.
BEFORE = {
    "docs/results.md": ["minillm train method=kd ... output=runs/kd", "minillm evaluate runs/kd"]
}


@dataclass
class Workspace:
    """The working folder of a reader.

    Attributes:
        folder: the folder, with data and models.
        printed: the commands of README with their output, in order.
        runs: number of commands that ran.
    """

    folder: Path
    printed: dict[str, str] = field(default_factory=dict)
    runs: int = 0

    def run(self, command: Command) -> str:
        """Run a command of `minillm`; returns what it prints.

        Raises:
            AssertionError: the command failed.
        """
        self.runs += 1
        words = quick(command.words, f"runs/unnamed_{self.runs}")
        out, errors = StringIO(), StringIO()
        with chdir(self.folder), redirect_stdout(out), redirect_stderr(errors):
            status = call(*words[1:])
        assert status == 0, f"{command.page}: {command}\n{errors.getvalue()}"
        return out.getvalue()


def quick(words: list[str], output: str) -> list[str]:
    """A command with the settings that it leaves out, and with settings that make it quick."""
    words = [part for word in words for part in (LEFT_OUT if word == "..." else [word])]
    if words[1] == "train":
        words += QUICK_RUN
        if any(re.fullmatch("(method|experiment)=.*minillm", word) for word in words):
            words += QUICK_MINILLM
        if not any(word.startswith("output=") for word in words):
            words += [f"output={output}"]
    return words


def write_inputs(folder: Path) -> None:
    """Data, and models with random weights in place of those that the documents name."""
    for data, (train, test) in LINES.items():
        (folder / data).mkdir()
        write_jsonl(folder / data / "train.jsonl", rows(train))
        write_jsonl(folder / data / "test.jsonl", rows(train + test)[train:])
    tokenizer = train_tokenizer([json.dumps(row) for row in rows(30)], vocab_size=300)
    for path, size in SIZES.items():
        shape = ModelConfig(architecture="gpt2", hidden_size=size, layers=1)
        model = build_model(shape, tokenizer, max_length=1024, seed=size)
        model.module.save_pretrained(folder / path)
        tokenizer.save_pretrained(folder / path)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    """A folder in which all commands of README ran from the first to the last."""
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    write_inputs(workspace.folder)
    for command in commands(README):
        if is_run(command):
            workspace.printed[str(command)] = workspace.run(command)
    return workspace


def is_run(command: Command) -> bool:
    in_guide = command.page in {name(page) for page in GUIDES}
    return in_guide and command.words[0] == "minillm" and not any(reasons(command))


def reasons(command: Command) -> Iterator[str]:
    """The entries of `NOT_RUN` for a command."""
    return (start for start in NOT_RUN if str(command).startswith(start))


def test_readme_distils_a_model_on_own_data(workspace):
    """The report has one row per model, and all further files are where README says."""
    printed = {words.split()[1]: out for words, out in workspace.printed.items()}
    assert "train: 160 inputs" in printed["data"]
    table = printed["report"].partition("\n\n")[0].splitlines()
    header, _, *scores = [re.split(r" *\| *", line)[1:-1] for line in table]
    methods, divergences = header.index("method"), header.index("reverse KL")
    assert [row[methods] for row in scores] == ["teacher", "init", "minillm"]
    assert [row[divergences] == "–" for row in scores] == [True, False, False]
    assert "Name three primary colours." in json.loads(printed["generate"])["prompt"]
    runs = workspace.folder / "runs"
    assert AutoModelForCausalLM.from_pretrained(runs / "minillm" / "best").config.n_embd == 16
    assert len(list(runs.glob("*/logs"))) == 3
    assert (workspace.folder / "results" / "mine" / "table.md").is_file()


@pytest.mark.parametrize("page", GUIDES[1:], ids=name)
def test_the_commands_of_a_page_run(page, workspace, tmp_path):
    to_run = [command for command in commands(page) if is_run(command)]
    if name(page) in BEGINS_WITHOUT_RUNS:
        workspace = Workspace(tmp_path)
        write_inputs(workspace.folder)
    if to_run:
        before = [Command("BEFORE", text.split()) for text in BEFORE.get(name(page), [])]
        for command in before + to_run:
            workspace.run(command)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_all_other_commands_would_start(page, workspace, monkeypatch):
    monkeypatch.chdir(workspace.folder)  # its models are those that the commands name
    others = [command for command in commands(page) if not is_run(command)]
    for command in others:
        assert any(reasons(command)), f"{name(page)}: run {command}, or give a reason in NOT_RUN"
    for command in [*others, *inline_commands(page)]:
        check(command)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_all_commands_are_read(page):
    assert misplaced_code(page) == []


def test_each_reason_is_needed():
    used = {start for page in PAGES for command in commands(page) for start in reasons(command)}
    assert used == set(NOT_RUN)
