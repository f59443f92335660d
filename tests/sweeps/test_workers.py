"""Several workers at once, one of which is killed: no trial runs twice, and none is lost."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from optuna.trial import TrialState

from minillm.sweeps.settings import read_sweep
from minillm.sweeps.study import load_study, open_study

POINTS = [round(1e-3 * 1.3**i, 6) for i in range(8)]


def wait_for(condition, seconds=200):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the workers take too long"
        time.sleep(0.05)


def starts(folder: Path) -> list[list[str]]:
    file = folder / "starts.txt"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def check_workers(folder: Path, words: list[str], workers: int) -> None:
    """Run a grid of eight trials with several workers, and kill one in the middle of a trial."""
    rates = f"training.lr={','.join(map(str, POINTS))}"
    given = [*words, rates, "output=sweep", "sweep.heartbeat=60"]
    open_study(read_sweep(given))  # so that workers need not check the settings
    environment = os.environ | {"FAKE_STEP": "0.3"}
    command = [sys.executable, "-m", "minillm", "sweep", *given]
    processes = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
                 for _ in range(workers)]  # fmt: skip
    victim = processes[0]
    try:
        wait_for(lambda: any(pid == str(victim.pid) for _, pid in starts(folder)))
        number = next(name for name, pid in starts(folder) if pid == str(victim.pid))
        wait_for((folder / f"sweep/trials/{number}/metrics.jsonl").exists)
        victim.send_signal(signal.SIGKILL)
        errors = [process.communicate(timeout=200)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes[1:]] == [0] * (workers - 1), errors
    trials = load_study(folder / "sweep").trials
    assert sorted(trial.params["training.lr"] for trial in trials) == POINTS
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    begun = Counter(name for name, _ in starts(folder))
    killed = {name for name, pid in starts(folder) if pid == str(victim.pid)}
    repeated = {name: times for name, times in begun.items() if times > 1}
    assert len(begun) == 8 and repeated == {number: 2} and number in killed
    for trial in trials:  # the killed trial continued after its last step
        lines = (folder / f"sweep/trials/{trial.number}/metrics.jsonl").read_text().splitlines()
        assert len(lines) == 5


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_workers_share_a_study_and_one_is_killed(tmp_path, monkeypatch, words, storage, workers):
    monkeypatch.chdir(tmp_path)
    check_workers(tmp_path, [*words, f"sweep.storage={storage}"], workers)
