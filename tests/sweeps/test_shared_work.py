"""Work that trials share: the process with its teacher, and the responses of SeqKD's teacher."""

import json
from pathlib import Path

import pytest
from optuna.trial import TrialState

from minillm.compose import load_config
from minillm.sweeps.responses import Responses, shared_responses
from minillm.sweeps.study import load_study
from tests.conftest import call


@pytest.mark.slow
def test_runs_of_a_kept_process_are_those_of_processes_of_their_own(
    command, settings, teacher, tmp_path
):
    """Two trials of SeqKD: the second finds libraries, teacher and responses. A third one fails."""
    pair = [f"student.path={teacher}/best", f"teacher.path={teacher}/best", "method=seqkd"]
    rates = "training.lr=1e-3,2e-3,1e30"
    outcome = command("sweep", *settings, *pair, rates, "output=out")
    assert outcome.status == 0, outcome.err
    trials = load_study(Path("out")).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2 + [TrialState.FAIL]
    assert "is not finite" in trials[2].user_attrs["error"]
    assert trials[0].user_attrs["saved"] == 0 < trials[1].user_attrs["saved"]
    assert len(list(Path("out/shared").glob("*.jsonl"))) == 1
    alone = [*settings, *pair, "training.lr=2e-3", "output=alone"]
    assert call("train", *alone) == 0
    weights = [
        Path(run, "last/model.safetensors").read_bytes() for run in ("alone", "out/trials/1")
    ]
    assert weights[0] == weights[1]


def test_only_one_worker_writes_the_responses(tmp_path):
    """A writer frees the lock when the file is complete, and also when it ends before."""
    first, second = (Responses(tmp_path / "r.jsonl", tmp_path / "notes/r") for _ in range(2))
    assert not first.is_complete() and first.take() and not second.take()
    first.path.write_text(json.dumps({"prompts": 2}) + "\n" + "{}\n{}")
    first.look()
    assert not second.is_complete() and not second.take()
    first.free()
    assert second.take()
    with second.path.open("a") as file:
        file.write("\n")
    second.look()
    assert first.is_complete() and first.take() and first.seconds() >= 0


def test_trials_share_responses_only_if_they_would_be_the_same(tmp_path):
    given = ["experiment=embedded/seqkd", "student.path=a", "teacher.path=b"]

    def path(*words, seed=1):
        return shared_responses(load_config([*given, *words]), tmp_path, seed, None).path

    same = path()
    assert path("training.lr=1e-5", "runtime.device=cpu") == same
    others = [path(seed=2), path("method.temperature=0.5"), path("method.samples_per_prompt=2"),
              path("teacher.path=c"), path("data.seed=3")]  # fmt: skip
    assert len({same, *others}) == 6
    assert shared_responses(load_config([*given, "method=kd"]), tmp_path, 1, None) is None
    assert shared_responses(load_config(given), tmp_path, 1, "f.jsonl").path == Path("f.jsonl")
