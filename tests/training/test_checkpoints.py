"""`resume` with complete, damaged, changed and finished runs, and runs that cannot write."""

import json
import shutil
import signal
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest
import torch

from minillm.commands.resume import differences
from minillm.config import Config, MiniLLMConfig
from minillm.training.files import MANIFEST, fault, files_below, listing
from minillm.training.run_state import FORMAT
from tests.conftest import BUILT
from tests.training.interrupting import (
    hang,
    limit_file_size,
    outcome,
    same_outcome,
    start,
    wait_for,
)

OFTEN = ["training.steps=6", "training.evaluate_every=3", "training.checkpoint_every=1",
         "training.keep_checkpoints=3", "student.dropout=0.1"]  # fmt: skip


@pytest.fixture
def train(command, settings):
    """Run a tiny training in `out` with a checkpoint per step. The last 3 checkpoints are kept."""

    def run(*overrides):
        return command("train", *settings, *BUILT, *OFTEN, "output=out", *overrides)

    return run


@pytest.fixture
def unfinished(train):
    """A run that was killed after its second to last checkpoint; returns the complete results."""
    assert train().status == 0
    whole = outcome(Path("out"))
    shutil.rmtree("out/checkpoints/step-000006")
    Path("out/summary.json").unlink()
    return whole


def truncate(folder):
    path = folder / "optimizer.bin"
    path.write_bytes(path.read_bytes()[:-1])


def flip(folder):
    path = folder / "pytorch_model.bin"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "optimizer.bin has": truncate,
    "pytorch_model.bin was changed": flip,
    "rank-0.pt is missing": lambda folder: (folder / "rank-0.pt").unlink(),
    "manifest.json is missing": lambda folder: (folder / "manifest.json").unlink(),
    "manifest.json is missing or cannot be read": lambda folder: (
        folder / "manifest.json"
    ).write_text("{}"),
}


@pytest.mark.parametrize("words", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(train, unfinished, words, caplog):
    DAMAGES[words](Path("out/checkpoints/step-000005"))
    after = train("resume=auto")
    assert after.status == 0, after.err
    assert f"out/checkpoints/step-000005 is damaged: {words}" in caplog.text
    assert json.loads(Path("out/provenance.json").read_text())["resumed"][0]["checkpoint"] == (
        "out/checkpoints/step-000004"
    )
    assert same_outcome(outcome(Path("out")), unfinished)
    assert checkpoints() == ["step-000004", "step-000005", "step-000006"]
    assert not [path for path in Path("out/checkpoints").iterdir() if fault(path)]


def make_old(folder):
    """Turn a checkpoint into one of format 1, which contains no number of the format."""
    progress = json.loads((folder / "progress.json").read_text())
    assert progress.pop("format") == FORMAT
    (folder / "progress.json").write_text(json.dumps(progress))
    (folder / "shared.pt").unlink()
    torch.save({"method": {"place": 3}, "metrics": {}}, folder / "rank-0.pt")
    rewrite_manifest(folder)


def rewrite_manifest(folder, processes=1):
    names = [name for name in files_below(folder) if name != MANIFEST]
    manifest = {"processes": processes, "files": listing(folder, names)}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    assert fault(folder) is None


@pytest.mark.parametrize("resume", ["auto", "out/checkpoints/step-000005"])
def test_a_checkpoint_of_another_version_is_refused(train, unfinished, resume):
    for path in Path("out/checkpoints").iterdir():
        make_old(path)
    before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")}
    refused = train(f"resume={resume}")
    assert refused.status == 2, refused.err
    assert "out/checkpoints/step-000005 was written by another version of minillm" in refused.err
    assert f"has format 1, and this version reads format {FORMAT}" in refused.err
    assert "git_revision in provenance.json" in refused.err and "overwrite=true" in refused.err
    assert {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")} == before
    assert train("overwrite=true").status == 0


def test_settings_of_older_code_have_their_values_of_that_time():
    """The older code had gamma=1 and length normalisation, and no settings of expected rewards."""
    config = Config(method=MiniLLMConfig())
    old = asdict(config)
    old["method"] |= {"gamma": 1.0, "length_normalization": True}
    for name in ("rewards", "reward_center", "baseline", "responses_per_prompt"):
        del old["method"][name]
    assert differences(old, config) == []
    changed = Config(method=MiniLLMConfig(rewards="expected", responses_per_prompt=2))
    assert differences(old, changed) == [
        ("method.responses_per_prompt", 1, 2),
        ("method.rewards", "sampled", "expected"),
    ]


OWN_RESPONSES = {
    "minillm": ["method=minillm", "method.rollouts_per_collection=4"],
    "gkd": ["method=gkd", "method.replay_size=4", "method.replay_share=0.5"],
}


@pytest.mark.parametrize("method", OWN_RESPONSES)
def test_processes_with_responses_of_their_own_keep_their_number(train, teacher, method):
    models = [f"student.path={teacher}/best", f"teacher.path={teacher}/best",
              "student.architecture=null"]  # fmt: skip
    assert train(*models, *OWN_RESPONSES[method], "training.steps=2").status == 0
    rewrite_manifest(Path("out/checkpoints/step-000002"), processes=2)
    refused = train(*models, *OWN_RESPONSES[method], "resume=auto")
    assert refused.status == 2, refused.err
    assert "written by 2 processes, these are 1" in refused.err
    assert "each process has responses of its own" in refused.err
    assert "Launch 2 processes" in refused.err


def checkpoints():
    return sorted(path.name for path in Path("out/checkpoints").iterdir())


def test_where_all_are_damaged_the_run_begins_anew_and_says_so(train, unfinished, caplog):
    for path in Path("out/checkpoints").iterdir():
        truncate(path)
    after = train("resume=auto")
    assert after.status == 0 and "starts at the beginning" in caplog.text
    assert same_outcome(outcome(Path("out")), unfinished)


def test_a_named_checkpoint_is_taken(train, unfinished):
    refused = train("resume=out/checkpoints")
    assert refused.status == 2
    assert "resume=out/checkpoints is not a complete checkpoint" in refused.err
    after = train("resume=out/checkpoints/step-000004")
    assert after.status == 0, after.err
    assert same_outcome(outcome(Path("out")), unfinished)
    # With the checkpoint of another run, a new run begins, and the other run does not change.
    branch = train("resume=out/checkpoints/step-000004", "output=branch")
    assert branch.status == 0, branch.err
    assert same_outcome(outcome(Path("branch")), unfinished)


def test_best_and_last_are_those_of_the_checkpoint(train, unfinished):
    """After a kill between two checkpoints, the models may be newer than the last checkpoint."""
    for name in ("best", "last"):
        (Path("out") / name / "model.safetensors").unlink()
    Path("out/metrics.jsonl").write_text("of a time that is no more\n")
    assert train("resume=auto").status == 0
    assert same_outcome(outcome(Path("out")), unfinished)


def test_changed_settings_are_refused_by_name_with_both_values(train, unfinished):
    before = Path("out/metrics.jsonl").read_bytes()
    refused = train("resume=auto", "training.lr=0.5", "data.seed=4", "training.log_every=2")
    assert refused.status == 2
    assert "training.lr (was 0.001, now 0.5)" in refused.err
    assert "data.seed (was 0, now 4)" in refused.err
    assert "log_every" not in refused.err and "output=FOLDER" in refused.err
    assert Path("out/metrics.jsonl").read_bytes() == before


def test_a_changed_mapping_is_refused_as_a_whole(train, teacher):
    """For one divergence and several divergences, with and without the default parameters."""
    kd = ["method=gkd", f"teacher.path={teacher}/best", "student.vocab_size=300"]
    assert train(*kd).status == 0
    shutil.rmtree("out/checkpoints/step-000006")
    Path("out/summary.json").unlink()
    for change, words in (
        ("method.parameters.beta=0.1", "method.parameters (was {}, now {'beta': 0.1})"),
        ("method.divergence={jsd: 1, tvd: 1}", "method.divergence (was jsd, now {'jsd': 1, 'tvd'"),
    ):
        outcome = train(*kd, change, "resume=auto")
        assert outcome.status == 2 and words in outcome.err, outcome.err


def test_changed_data_is_refused(train, unfinished, data_folder, tmp_path):
    file = data_folder / "train.jsonl"
    before = file.read_text()
    try:
        file.write_text(before.replace("red", "gold", 1))
        refused = train("resume=auto")
    finally:
        file.write_text(before)
    assert refused.status == 2 and "other training data" in refused.err


def test_settings_that_alter_nothing_may_change(train, unfinished):
    after = train("resume=auto", "training.keep_checkpoints=1", "runtime.trackers=[]",
                  "training.log_every=2", "training.checkpoint_every=null")  # fmt: skip
    assert after.status == 0, after.err
    found = outcome(Path("out"))
    assert same_outcome(unfinished | {"weights": found["weights"]}, unfinished)
    assert checkpoints() == ["step-000006"]


def test_a_finished_run_is_left_or_goes_on_for_longer(train, caplog):
    assert train("training.steps=4").status == 0
    before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")}
    again = train("training.steps=4", "resume=auto")
    assert again.status == 0 and "out is a finished run" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")} == before
    assert train("resume=auto").status == 0
    longer = outcome(Path("out"))
    assert train("overwrite=true").status == 0
    ours, theirs = longer["weights"]["last"], outcome(Path("out"))["weights"]["last"]
    assert all(torch.equal(values, theirs[name]) for name, values in ours.items())
    shorter = train("training.steps=4", "resume=auto")
    assert shorter.status == 2 and "past the 4 steps" in shorter.err
    decay = train("training.schedule=linear", "resume=auto", "training.steps=9")
    assert decay.status == 2 and "training.steps (was 6, now 9)" in decay.err


def test_a_share_that_follows_a_schedule_keeps_the_number_of_steps(train, teacher):
    run = ["method=imitkd", f"teacher.path={teacher}/best"]
    assert train(*run).status == 0
    longer = train(*run, "resume=auto", "training.steps=9")
    assert longer.status == 2 and "training.steps (was 6, now 9)" in longer.err


def test_a_run_without_a_checkpoint_begins_anew_and_says_so(train, caplog):
    first = train("resume=auto")
    assert first.status == 0 and "no complete checkpoint in out" in caplog.text
    both = train("resume=auto", "overwrite=true")
    assert both.status == 2 and "resume=auto and overwrite=true" in both.err


def test_a_folder_that_cannot_be_written_is_refused(command, settings):
    answer = command("train", *settings, *BUILT, "output=/proc/run")
    assert answer.status == 2
    assert "output=/proc/run cannot be written" in answer.err and "output=FOLDER" in answer.err


def test_a_full_disk_stops_the_run_and_keeps_what_is_there(settings, tmp_path, monkeypatch):
    """A size limit makes files of weights fail. Files of metrics are smaller than the limit."""
    monkeypatch.chdir(tmp_path)
    arguments = ["train", *settings, *BUILT, *OFTEN, "output=out", "runtime.trackers=[]"]
    process = start([*arguments, "training.steps=2"], tmp_path)
    process.join(60)
    assert process.exitcode == 0
    size = Path("out/checkpoints/step-000002/optimizer.bin").stat().st_size
    process = start([*arguments, "resume=auto"], tmp_path, partial(limit_file_size, size - 1))
    process.join(60)
    errors = Path("errors.txt").read_text()
    assert process.exitcode == 3, errors
    message = errors.splitlines()[-1]
    assert "step-000003 could not be written" in message and "MB are free" in message
    assert "resume=auto" in message and "Traceback" not in errors
    assert sorted(path.name for path in Path("out/checkpoints").iterdir()) == (
        ["step-000001", "step-000002"]
    )
    assert not [path for path in Path("out/checkpoints").iterdir() if fault(path)]
    process = start([*arguments, "resume=auto"], tmp_path)
    process.join(60)
    assert process.exitcode == 0, errors


def test_a_second_signal_ends_at_once(settings, tmp_path):
    """A second signal also stops a run whose current step never ends."""
    options = ["output=out", "training.steps=100000"]
    process = start(["train", *settings, *BUILT, *options], tmp_path, hang)
    wait_for(tmp_path / "errors.txt", "hangs")
    process.terminate()
    wait_for(tmp_path / "errors.txt", "SIGTERM: the run stops after this step")
    process.join(2.5)
    assert process.exitcode is None
    process.terminate()
    process.join(10)
    assert process.exitcode == -signal.SIGTERM
