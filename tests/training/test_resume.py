"""Runs that are stopped or killed, and then resumed, equal uninterrupted runs bitwise."""

import json
import random
import signal
from functools import partial
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import BUILT
from tests.training.interrupting import kill_before_operation, outcome, same_outcome, start, stop_at

RUNS = {
    "sft": ["method=sft"],
    "kd": ["method=kd"],
    "seqkd": ["method=seqkd", "method.file=responses.jsonl"],
    "minillm": ["method=minillm", "method.rollouts_per_collection=8", "method.inner_epochs=2",
                "method.lm_coef=1", "method.lm_kd_ratio=0.5", "method.lm_length=16",
                "method.lm_batch_size=2", "data.plain_text=text.txt"],
    "average reward": ["method=minillm_average_reward", "method.rollouts_per_collection=8",
                       "method.responses_per_prompt=2", "method.baseline=prompt"],
    # Half of the student's responses are taken from its last 8, some of them from before the stop.
    "gkd with replay": ["method=gkd", "method.student_share=0.7", "method.replay_size=8",
                        "method.replay_share=0.5"],
    "imitkd": ["method=imitkd"],
    "hidden states": ["method=hidden_states"],
    # The cross-entropy moves the student away from its average.
    "average": ["method=gkd", "method.kd_ratio=0.5", "teacher.kind=average", "teacher.path=null",
                "teacher.rate=0.3", "teacher.update_every=2"],
    "ensemble": ["method=kd", "teacher.kind=ensemble", "teacher.path=null",
                 "teacher.members=[{path:TEACHER,weight:2},{path:TEACHER/../last}]"],
}  # fmt: skip


@pytest.fixture
def options(settings, teacher, tmp_path):
    """The arguments of a tiny run: 7 steps, a validation and a collection every 4 steps."""

    def of(name, *more):
        (tmp_path / "text.txt").write_text("some words of plain text\n" * 20)
        models = [f"student.path={teacher}/best", f"teacher.path={teacher}/best"]
        often = ["training.steps=7", "training.evaluate_every=4", "training.log_every=2"]
        run = [text.replace("TEACHER", f"{teacher}/best") for text in RUNS[name]]
        return ["train", *settings, *models, *run, *often, *more]

    return of


@pytest.fixture
def stopping():
    yield stop_at
    stop_at(None)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_was_stopped_ends_as_one_that_was_not(name, options, command, stopping, teacher):
    # Dropout draws from the global random state.
    hard = ["student.path=null", f"student.tokenizer={teacher}/best", *BUILT[:-1],
            "student.dropout=0.1", "training.schedule=linear"]  # fmt: skip
    assert command(*options(name, *hard), "output=whole").status == 0
    for step in (3, 6):  # in the first collection, between two logs; and in the second collection
        stopping(step)
        stopped = command(*options(name, *hard), "output=out", "resume=auto")
        assert stopped.status == 75, stopped.err
        assert f"SIGTERM at step {step} of 7" in stopped.err
        assert f"out/checkpoints/step-{step:06d}" in stopped.err and "resume=auto" in stopped.err
        assert not Path("out/summary.json").exists()
    stopping(None)
    assert command(*options(name, *hard), "output=out", "resume=auto").status == 0
    assert same_outcome(outcome(Path("out")), outcome(Path("whole")))
    resumed = json.loads(Path("out/provenance.json").read_text())["resumed"]
    assert [one["checkpoint"][-6:] for one in resumed] == ["000003", "000006"]


def test_a_run_ends_when_its_seconds_have_passed(options, command, caplog):
    run = [*options("sft"), "output=out", "resume=auto"]
    ended = command(*run, "training.seconds=1e-9")
    assert ended.status == 0, ended.err
    assert "7 steps, or for 0 s if that is less" in caplog.text
    summary = json.loads(Path("out/summary.json").read_text())
    assert summary["steps"] == 1
    assert [point["step"] for point in summary["history"]] == [0, 1]
    assert Path("out/last/model.safetensors").exists()
    assert command(*run, "training.seconds=1e-9").status == 0
    assert "out is a finished run" in caplog.text
    assert command(*run, "training.seconds=1e9").status == 0
    assert json.loads(Path("out/summary.json").read_text())["steps"] == 7
    refused = command(*run, "training.seconds=1", "training.schedule=linear")
    assert refused.status == 2 and "training.schedule=constant" in refused.err


def points(run: str) -> dict[str, list[int]]:
    """The steps of each curve in TensorBoard, except curves of times."""
    found = {}
    for folder in {path.parent for path in Path(run, "logs").rglob("events.*")}:
        events = EventAccumulator(str(folder)).Reload()
        for name in events.Tags()["scalars"]:
            if not name.startswith("seconds/"):
                found.setdefault(name, []).extend(event.step for event in events.Scalars(name))
    return found


def test_killed_ten_times(options, command, tmp_path):
    arguments = options("minillm", "training.steps=24", "training.checkpoint_every=3")
    assert command(*arguments, "output=whole").status == 0
    chance, places = random.Random(1), []
    for _ in range(10):
        # A resume needs 100 file operations, and each checkpoint needs 80.
        kill = partial(kill_before_operation, chance.randrange(20, 340))
        process = start([*arguments, "output=out", "resume=auto"], tmp_path, kill)
        process.join(60)
        assert process.exitcode == -signal.SIGKILL, Path("errors.txt").read_text()
        places.append(len(Path("out/metrics.jsonl").read_bytes()))
    print(places)
    assert len(set(places)) > 5, places  # the kills hit different positions
    last = start([*arguments, "output=out", "resume=auto"], tmp_path)
    last.join(60)
    assert last.exitcode == 0, Path("errors.txt").read_text()
    assert same_outcome(outcome(Path("out")), outcome(Path("whole")))
    assert points("out") == points("whole")
