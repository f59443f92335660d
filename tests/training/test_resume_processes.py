"""Runs of two processes that are stopped or killed, and resumed with one or two processes."""

import random
import signal
from functools import partial
from pathlib import Path

import pytest

from tests.distributed.worker import environment
from tests.training.interrupting import (
    free_port,
    join_group,
    kill_before_operation,
    outcome,
    same_outcome,
    start,
    stop_at,
    stop_on,
)

MINILLM = ["method=minillm", "method.rollouts_per_collection=8", "method.inner_epochs=2"]
SFT = ["method=sft", "student.dropout=0"]
# Student-written responses, a projection that is trained beside the student, a changing teacher.
PARTS = ["method=gkd", "method.kd_ratio=0.5", "method.layers=[[-1,-1]]", "teacher.kind=average",
         "teacher.path=null", "teacher.rate=0.3"]  # fmt: skip


@pytest.fixture
def launch(settings, teacher, tmp_path, monkeypatch):
    """Start the processes of one run; `count` is their number."""
    monkeypatch.chdir(tmp_path)
    models = [f"student.path={teacher}/best", f"teacher.path={teacher}/best"]

    def run(count, *overrides, prepare=(None, None)):
        port = free_port()
        arguments = ["train", *settings, *models, "training.evaluate_every=4", *overrides]
        return [
            start(arguments, tmp_path, partial(join_group, rank, count, port, prepare[rank]))
            for rank in range(count)
        ]

    return run


def statuses(processes):
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def finish(processes):
    assert statuses(processes) == [0] * len(processes), Path("errors.txt").read_text()


def test_a_signal_to_one_process_stops_all_and_they_go_on(launch):
    run = [*MINILLM, "training.steps=7"]
    finish(launch(2, *run, "output=whole"))
    stopped = launch(2, *run, "output=out", prepare=(None, partial(stop_at, 3)))
    assert statuses(stopped) == [75, 75], Path("errors.txt").read_text()
    refused = launch(1, *run, "output=out", "resume=auto")
    assert statuses(refused) == [2]
    assert "written by 2 processes, these are 1" in Path("errors.txt").read_text()
    finish(launch(2, *run, "output=out", "resume=auto"))
    assert same_outcome(outcome(Path("out")), outcome(Path("whole")), 1e-6)


@pytest.mark.parametrize(("method", "first", "second"), [(SFT, 1, 2), (SFT, 2, 1), (PARTS, 1, 2)])
def test_another_number_of_processes_goes_on_with_the_same_batches(launch, method, first, second):
    run = [*method, "training.steps=7", "training.log_every=2"]
    finish(launch(1, *run, "output=whole"))
    stopped = launch(first, *run, "output=out", prepare=(partial(stop_at, 3), None))
    assert statuses(stopped) == [75] * first, Path("errors.txt").read_text()
    finish(launch(second, *run, "output=out", "resume=auto"))
    out, whole = (outcome(Path(name)) for name in ("out", "whole"))
    for found in (out, whole):  # without the scores of sampled responses in validation
        found["metrics"] = [trained(line) for line in found["metrics"]]
        del found["weights"]["best"], found["history"], found["best"]
    assert same_outcome(out, whole, 1e-5)


def trained(line):
    names = [name for name in line if name[:10] != "validation" or name == "validation/loss"]
    return {name: line[name] for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("method", [MINILLM, PARTS], ids=["minillm", "parts"])
@pytest.mark.parametrize("runtime", ["fsdp2", "zero1", "zero2", "zero3"])
def test_shares_of_weights_and_moments_go_on(launch, runtime, method):
    run = [*method, "training.steps=7"]
    backend = partial(stop_on, environment(runtime), None)
    finish(launch(2, *run, "output=whole", prepare=(backend, backend)))
    stop = partial(stop_on, environment(runtime), 3)
    stopped = launch(2, *run, "output=out", prepare=(stop, stop))
    assert statuses(stopped) == [75, 75], Path("errors.txt").read_text()
    finish(launch(2, *run, "output=out", "resume=auto", prepare=(backend, backend)))
    assert same_outcome(outcome(Path("out")), outcome(Path("whole")), 1e-6)
    stop = partial(stop_on, environment("ddp"), 3)
    refused = launch(2, *run, "output=out", "resume=auto", "training.steps=9", prepare=(stop, stop))
    assert statuses(refused) == [2, 2]
    assert "launch it as before" in Path("errors.txt").read_text()


@pytest.mark.slow
def test_killed_ten_times(launch):
    run = [*MINILLM, "training.steps=24", "training.checkpoint_every=3"]
    finish(launch(2, *run, "output=whole"))
    chance = random.Random(2)
    for _ in range(10):
        kill = partial(kill_before_operation, chance.randrange(20, 300))
        processes = launch(2, *run, "output=out", "resume=auto", prepare=(kill, None))
        processes[0].join(60)
        processes[1].kill()
        assert statuses(processes)[0] == -signal.SIGKILL, Path("errors.txt").read_text()
    finish(launch(2, *run, "output=out", "resume=auto"))
    assert same_outcome(outcome(Path("out")), outcome(Path("whole")), 1e-6)
