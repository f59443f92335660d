"""Kills a run of MiniLLM many times; the run must end like a run that was never killed.

    python -m studies.soak --kills 100 --seed 1
    python -m studies.soak --kills 100 --seed 1 --processes 2

Every second SIGKILL comes after a random time, at any moment from the start-up of the run to some
of its steps. The other SIGKILLs come before a random file operation, where a half-written file
would do harm. When a run reaches its end, it is compared, and the next run begins. The study ends
after `--kills` kills and writes results/reliability/soak_PROCESSES.json.
"""

import argparse
import random
import shlex
import signal
import sys
import tempfile
import time
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from minillm.files import write_json
from minillm.runs import machine
from minillm.version import git_state
from tests.conftest import BUILT, rows, write_jsonl
from tests.training.interrupting import (
    free_port,
    join_group,
    kill_before_operation,
    outcome,
    same_outcome,
    start,
)

STEPS = 60
OPERATIONS = 500  # a continued run makes about 100 file operations, and 80 per checkpoint
TRAINING = [
    "training.batch_size=4", "training.lr=1e-3", "training.warmup_steps=0", "training.log_every=2",
    "training.evaluate_every=4", "training.checkpoint_every=3", "runtime.threads=1",
    "runtime.device=cpu", "data.kind=jsonl", "data.path=.", "data.train=train.jsonl",
    "data.validation_size=5", "data.template=plain", "data.max_prompt_length=32",
    "data.max_response_length=8",
]  # fmt: skip
MINILLM = [
    "method=minillm", "student.path=teacher/best", "teacher.path=teacher/best",
    "method.rollouts_per_collection=8", "method.inner_epochs=2", "method.lm_coef=1",
    "method.lm_kd_ratio=0.5", "method.lm_length=16", "method.lm_batch_size=2",
    "data.plain_text=text.txt", f"training.steps={STEPS}",
]  # fmt: skip


def launch(folder: Path, processes: int, *options: str, kill_at: int | None = None) -> list:
    """Start a run; if `kill_at` is set, process 0 is killed before this file operation."""
    port = free_port()
    kill = None if kill_at is None else partial(kill_before_operation, kill_at)
    arguments = ["train", *TRAINING, *options]
    if processes == 1:
        return [start(arguments, folder, kill)]
    return [
        start(arguments, folder, partial(join_group, rank, processes, port, None if rank else kill))
        for rank in range(processes)
    ]


def finish(group: list[BaseProcess], folder: Path) -> None:
    """Wait for the end of a run that is not killed."""
    for process in group:
        process.join()
    if any(process.exitcode for process in group):
        sys.exit((folder / "errors.txt").read_text())


def kill_once(group: list[BaseProcess], seconds: float | None) -> bool:
    """Kill a run after some seconds, or wait for its kill; return whether it had not ended yet."""
    group[0].join(seconds)
    for process in group:
        process.kill()
        process.join()
    if any(process.exitcode not in (0, -signal.SIGKILL) for process in group[:1]):
        raise SystemExit(f"the run ended by itself with status {group[0].exitcode}")
    return group[0].exitcode == -signal.SIGKILL


def soak(folder: Path, kills: int, processes: int, seed: int) -> dict:
    """Kill runs until the number of kills is reached; return the counts."""
    write_jsonl(folder / "train.jsonl", rows(30))
    (folder / "text.txt").write_text("some words of plain text\n" * 20)
    finish(launch(folder, 1, *BUILT, "training.steps=3", "output=teacher"), folder)
    begin = time.monotonic()
    finish(launch(folder, processes, *MINILLM, "output=whole"), folder)
    duration = time.monotonic() - begin
    reference = outcome(folder / "whole")
    generator, checkpoints, runs, same = random.Random(seed), [], 0, 0
    run = [*MINILLM, "output=out", "resume=auto"]
    while len(checkpoints) < kills:
        seconds = kill_at = None
        if len(checkpoints) % 2:
            seconds = generator.uniform(0, duration)
        else:
            kill_at = generator.randrange(OPERATIONS)
        if kill_once(launch(folder, processes, *run, kill_at=kill_at), seconds):
            checkpoints.append(newest(folder / "out"))
            print(f"kill {len(checkpoints)}: newest checkpoint {checkpoints[-1]}", flush=True)
        else:
            runs, same = runs + 1, same + compare(folder, reference, processes)
    finish(launch(folder, processes, *run), folder)
    runs, same = runs + 1, same + compare(folder, reference, processes)
    return {
        "kills": kills,
        "runs": runs,
        "runs_that_ended_the_same": same,
        "kills_by_newest_checkpoint": {
            str(step): checkpoints.count(step) for step in sorted(set(checkpoints))
        },
    }


def newest(run: Path) -> int:
    """Step of the newest checkpoint; 0 if there is none."""
    return max((int(path.name[5:]) for path in run.glob("checkpoints/step-*")), default=0)


def compare(folder: Path, reference: dict, processes: int) -> bool:
    """Whether a run has ended like the run that was never killed. Renames the folder `out`."""
    tolerance = 0.0 if processes == 1 else 1e-6
    same = same_outcome(outcome(folder / "out"), reference, tolerance)
    (folder / "out").rename(folder / f"done-{time.monotonic_ns()}")
    print("the same" if same else "NOT THE SAME", flush=True)
    return same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("results/reliability"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    revision, dirty = git_state()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        counts = soak(Path(folder), options.kills, options.processes, options.seed)
    file = options.output / f"soak_{options.processes}.json"
    write_json(file, {
        "command": shlex.join(["python", "-m", "studies.soak", *sys.argv[1:]]),
        "seed": options.seed, "processes": options.processes,
        "tolerance": 0.0 if options.processes == 1 else 1e-6, "steps": STEPS, **counts,
        "minutes": round((time.monotonic() - begin) / 60, 1),
        "machine": machine(), "git_revision": revision, "git_dirty": dirty,
    })  # fmt: skip
    print(file.read_text())
    if counts["runs_that_ended_the_same"] < counts["runs"]:
        sys.exit("a run did not end like the run that was never killed")


if __name__ == "__main__":
    main()
