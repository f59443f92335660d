"""Trainings as processes: what a worker learns about their end, and that none survives."""

import signal
import time
from pathlib import Path

import psutil
import pytest

from minillm.sweeps import process
from minillm.sweeps.process import KeptProcess, OwnProcesses, error_text


def status_of(trainer, log, *words):
    trainer.start(words, log, [])
    while (status := trainer.poll()) is None:
        time.sleep(0.02)
    return status


def test_the_run_after_a_failed_run_is_trained(tmp_path, monkeypatch):
    """The process ends after a failed run, and it may take a while."""
    stub = Path(__file__).parent / "train_many_stub.py"
    monkeypatch.setattr(process, "TRAIN_MANY", (str(stub),))
    trainer, log = KeptProcess("group"), tmp_path / "log.txt"
    try:
        runs = ("ok", "fail", "ok", "exit")
        found = [status_of(trainer, log, run, str(i)) for i, run in enumerate(runs)]
        assert found == [0, 3, 0, -signal.SIGKILL], log.read_text()
    finally:
        trainer.kill()


def test_an_error_is_that_of_the_newest_start(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("minillm: an old error\nold line\n")
    begin = process.size_of(log)
    with log.open("a") as file:
        file.write("step 1\nKilled\n")
    assert error_text(log, begin, 1) == "exit status 1: Killed"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_no_process_survives_a_launcher_that_does_not_pass_signals_on(tmp_path, monkeypatch, end):
    """The training is in a session of its own, as those of `torchrun`."""
    monkeypatch.setattr(process, "GRACE", 0.2)
    monkeypatch.setattr(process, "PATIENCE", 5)
    child = tmp_path / "child"
    script = f"setsid sh -c 'echo $$ > {child}; exec sleep 60' & wait"
    trainer = OwnProcesses(f'sh -c "{script}"', "group")
    monkeypatch.setenv("MASTER_PORT", "1")
    trainer.start([], tmp_path / "log.txt", [])
    while not child.exists() or not child.read_text():
        time.sleep(0.02)
    began = time.monotonic()
    getattr(trainer, end)()
    assert time.monotonic() - began < 3
    number = int(child.read_text())
    assert (not psutil.pid_exists(number)
            or psutil.Process(number).status() == psutil.STATUS_ZOMBIE)  # fmt: skip
