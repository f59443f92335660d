"""SeqKD uses a complete file of teacher responses, continues a partial one, refuses others."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file


@pytest.fixture
def train(command, settings, teacher):
    """Train with SeqKD. The responses are in seqkd.jsonl."""

    def run(*overrides):
        return command(
            "train", *settings, "method=seqkd", "method.generation_batch_size=8",
            "method.file=seqkd.jsonl", f"student.path={teacher}/best",
            f"teacher.path={teacher}/best", "training.steps=1", "output=out", "overwrite=true",
            *overrides,
        )  # fmt: skip

    assert run().status == 0
    return run


def test_a_whole_file_is_reused(train, caplog):
    file = Path("seqkd.jsonl")
    content, written_at = file.read_bytes(), file.stat().st_mtime_ns
    assert len(content.splitlines()) == 1 + 25
    caplog.clear()
    assert train("training.lr=1e-4").status == 0
    assert "25 responses of the teacher read from seqkd.jsonl" in caplog.text
    assert file.read_bytes() == content and file.stat().st_mtime_ns == written_at


def test_a_file_that_two_runs_have_written_is_refused(train):
    header, *rows = Path("seqkd.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    twice = [line for row in rows for line in (row, row)]
    Path("seqkd.jsonl").write_text("".join([header, *twice]), encoding="utf-8")
    outcome = train()
    assert outcome.status == 2
    assert "seqkd.jsonl, line 3 is not the response to prompt 2" in outcome.err


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_cut_file_is_continued_to_the_same_file(train, share):
    whole = Path("seqkd.jsonl").read_bytes()
    weights = Path("out/last/model.safetensors").read_bytes()
    header = whole.index(b"\n") + 1
    Path("seqkd.jsonl").write_bytes(whole[: header + int(share * (len(whole) - header))])
    assert train().status == 0
    assert Path("seqkd.jsonl").read_bytes() == whole
    assert Path("out/last/model.safetensors").read_bytes() == weights


def test_line_breaks_of_unicode_do_not_end_lines(train):
    lines = Path("seqkd.jsonl").read_text(encoding="utf-8").split("\n")
    row = json.loads(lines[1]) | {"response": "one\u2028two\x85three"}
    lines[1] = json.dumps(row, ensure_ascii=False)
    Path("seqkd.jsonl").write_text("\n".join(lines), encoding="utf-8")
    outcome = train()
    assert outcome.status == 0, outcome.err


@pytest.mark.parametrize(
    ("override", "changed"),
    [("method.temperature=0.5", "temperature"), ("data.seed=4", "prompts_checksum")],
)
def test_a_file_made_with_other_settings_is_refused(train, override, changed):
    before = Path("seqkd.jsonl").read_bytes()
    outcome = train(override)
    assert outcome.status == 2
    assert f"({changed} differ)" in outcome.err and "seqkd.jsonl" in outcome.err
    assert "method.file=OTHER_FILE" in outcome.err
    assert Path("seqkd.jsonl").read_bytes() == before
    assert Path("out/summary.json").exists()  # the run that would be overwritten


def test_a_file_of_another_teacher_at_the_same_path_is_refused(train, teacher):
    """minillm.json is the same, so that only the weights are different."""
    weights = Path(shutil.copytree(teacher / "best", "teacher"), "model.safetensors")
    options = ["teacher.path=teacher", "method.file=new.jsonl"]
    assert train(*options).status == 0
    tensors = load_file(weights)
    tensors["transformer.ln_f.bias"][3] += 1e-3
    save_file(tensors, weights, {"format": "pt"})
    outcome = train(*options)
    assert outcome.status == 2, outcome.err
    assert "new.jsonl contains responses of another teacher" in outcome.err
    assert "the weights of teacher.path=teacher differ" in outcome.err


def test_a_teacher_may_move(train, teacher):
    """The file is used, although path and minillm.json of the teacher are new."""
    before = Path("seqkd.jsonl").read_bytes()
    Path(shutil.copytree(teacher / "best", "moved"), "minillm.json").unlink()
    assert train("teacher.path=moved").status == 0
    assert Path("seqkd.jsonl").read_bytes() == before


def test_a_file_of_an_older_version_is_used_with_the_same_path(train, teacher):
    header, *rows = Path("seqkd.jsonl").read_text().splitlines(keepends=True)
    older = json.loads(header)
    del older["teacher_weights"]
    Path("seqkd.jsonl").write_text("".join([json.dumps(older) + "\n", *rows]))
    assert train().status == 0
    shutil.copytree(teacher / "best", "other")
    outcome = train("teacher.path=other")
    assert outcome.status == 2 and "teacher.path=other may differ" in outcome.err


@pytest.mark.parametrize("content", ["my notes", "my notes\n", '["a"]\n', '{"a": 1}\n{"b": 2}\n'])
def test_a_file_of_something_else_is_refused(train, content):
    Path("seqkd.jsonl").write_text(content)
    outcome = train()
    assert outcome.status == 2
    assert "seqkd.jsonl does not contain teacher responses" in outcome.err
    assert Path("seqkd.jsonl").read_text() == content
