"""`minillm plan`: no weights are read, nothing is written, and train's refusals are all named."""

import re
import shutil
from pathlib import Path

import pytest

from tests.commands.test_command_line import everything_below
from tests.conftest import BUILT


@pytest.fixture
def plan(command, settings, teacher):
    """Plans with the tiny models and further words; returns what is printed."""

    def run(*words: str, student: str = f"{teacher}/best") -> str:
        models = [f"student.path={student}", f"teacher.path={teacher}/best"]
        before = everything_below(Path())
        outcome = command("plan", *settings, *models, "output=out", *words)
        assert outcome.status == 0, outcome.err
        assert everything_below(Path()) == before, "something was written"
        return outcome.out

    return run


@pytest.fixture
def refused_plan(command, settings):
    def run(*words: str) -> str:
        outcome = command("plan", *settings, "output=out", *words)
        assert outcome.status == 2 and "Traceback" not in outcome.err
        return outcome.err

    return run


def parameters(text: str) -> int:
    return int(re.search(r"student: .* ([\d,]+) parameters", text)[1].replace(",", ""))


def row(text: str, name: str) -> list[str]:
    """The values of the first row with this name."""
    line = next(line for line in text.splitlines() if line.strip().startswith(name))
    return line.strip().removeprefix(name).split()


def test_a_folder_without_weights_is_planned(plan, teacher, settings):
    shutil.copytree(teacher / "best", "model", ignore=shutil.ignore_patterns("*.safetensors"))
    text = plan("method=kd", student="model")
    assert parameters(text) == 8752  # as the log of the training says
    assert "25 training inputs" in text and "prompt tokens: mean" in text
    assert "steps:      3 of 4 sequences" in text
    assert row(text, "validations") == ["3,", "every", "2", "steps"]


def test_a_built_student_has_the_parameters_of_the_trained_student(command, settings, caplog):
    caplog.set_level("INFO", "minillm")
    outcome = command("plan", *settings, *BUILT, "method=sft")
    assert command("train", *settings, *BUILT, "method=sft", "output=out").status == 0
    (line,) = (message for message in caplog.messages if message.startswith("method sft"))
    assert f"{parameters(outcome.out):,} parameters" in line


def test_what_is_dropped_and_cut_is_printed_once(plan, caplog):
    caplog.set_level("INFO", "minillm")
    text = plan("method=kd", "data.max_prompt_length=7", "data.max_response_length=2")
    assert "dropped" in text and "responses cut to data.max_response_length" in text
    assert "dropped" not in caplog.text


@pytest.mark.parametrize(
    "options",
    [["method=kd"], ["method=minillm", "method.rollouts_per_collection=8"],
     ["method=seqkd", "method.generation_batch_size=4"],
     ["method=sft", "method.lm_coef=1", "method.lm_length=16", "method.lm_batch_size=2",
      "data.plain_text=text.txt"]],
    ids=["kd", "minillm", "seqkd", "plain text"],
)  # fmt: skip
def test_a_measured_step_writes_nothing(plan, options):
    Path("text.txt").write_text("some words of plain text\n" * 20)
    text = plan(*options, "--measure")
    assert row(text, "measured on") == ["cpu,", "float32,", "1", "process(es)"]
    assert "3 steps of" in text and "tokens/s" in text
    assert ("teacher's responses" in text) == ("method=seqkd" in options)


def test_a_given_throughput(plan, teacher):
    tokens = float(row(plan("method=sft"), "tokens of the loss")[0])
    text = plan("method=sft", "training.steps=1000", "--throughput", str(tokens))
    assert row(text, "training")[:2] == ["16", "min"]  # 1000 steps of a second each, nearly
    assert "validations  not included" in text
    assert "tokens/s" in plan("method=sft", "--throughput", str(teacher))


def test_memory_for_each_number_of_processes(plan):
    assert "memory of one process" in plan("method=sft")
    text = plan("method=sft", "--processes", "2", "--processes", "4")
    assert re.findall(r"memory of (.*)\n", text) == ["each of 2 processes", "each of 4 processes"]
    header = next(line for line in text.splitlines() if "zero2" in line).split()
    assert header[1:] == ["ddp", "fsdp2", "zero1", "zero2", "zero3", "zero3_offload"]
    assert len(row(text, "largest")) == 6


def test_all_reasons_of_a_refusal_are_named(refused_plan):
    message = refused_plan("method=kd", "training.select_by=foo", *BUILT, "--processes", "3")
    assert "for 3 reasons" in message and "method=kd needs a teacher" in message
    assert "training.select_by 'foo'" in message and "among 3 processes" in message
    single = refused_plan("method=kd", *BUILT)
    assert single.startswith("minillm: method=kd needs a teacher")


def test_other_tokenizers_are_refused(refused_plan, settings, command, teacher):
    assert command("train", *settings, *BUILT, "student.vocab_size=310", "method=sft",
                   "output=other").status == 0  # fmt: skip
    models = ["student.path=other/best", f"teacher.path={teacher}/best"]
    assert "tokenizers differ" in refused_plan("method=kd", *models)
    outcome = command("plan", *settings, *models, "method=seqkd", "output=out")
    assert "another than the student's" in outcome.out, outcome.err


def test_the_folder_of_another_run_is_refused_after_the_plan(command, settings, teacher):
    outcome = command("plan", *settings, *BUILT, "method=sft", f"output={teacher}")
    assert outcome.status == 2 and "holds another run" in outcome.err
    assert "memory of one process" in outcome.out
