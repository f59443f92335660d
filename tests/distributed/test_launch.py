"""scripts/launch.sh: machines connect to each other, and a failure never makes a job hang."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.distributed.conftest import ROOT, clean_environment, free_port

PROGRAMS = {
    # Runs the command on this machine. The real ssh would run it on another machine.
    "ssh": '#!/bin/sh\nshift 2\nexec sh -c "$*"\n',
    "nvidia-smi": '#!/bin/sh\nfor i in 0 1 2; do echo "GPU $i: a GPU (UUID: GPU-$i)"; done\n',
}


def path_with(folder: Path) -> str:
    """The variable PATH with PROGRAMS, which are written to a folder."""
    (folder / "bin").mkdir()
    for name, program in PROGRAMS.items():
        (folder / "bin" / name).write_text(program)
        (folder / "bin" / name).chmod(0o755)
    return f"{folder / 'bin'}:{clean_environment()['PATH']}"


@pytest.fixture
def launch(tmp_path, tiny_settings):
    """Start a script with the settings of a tiny run. After the test, its processes are killed."""
    started = []

    def run(script: str, *overrides: str, **variables: object) -> subprocess.Popen:
        environment = clean_environment() | {"MASTER_PORT": free_port()}
        environment |= {name: str(value) for name, value in variables.items()}
        models = ["student.architecture=llama", "student.hidden_size=16", "output=out"]
        process = subprocess.Popen(
            ["bash", ROOT / "scripts" / script, *tiny_settings, *models, *overrides],
            cwd=tmp_path, env=environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_two_machines_train_together(launch, tmp_path):
    """Two launchers start one process each. Only the first process prints."""
    (tmp_path / "hosts").write_text("# a comment\n127.0.0.1 slots=1\nlocalhost slots=1\n")
    process = launch("launch_hosts.sh", HOSTS="hosts", BACKEND="zero2", PATH=path_with(tmp_path))
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert said.count("on cpu:0, 2 process(es)") == 1, said
    assert said.count("step 3 of 3") == 1
    assert (tmp_path / "out" / "summary.json").exists()


def test_a_process_that_dies_ends_the_job(launch, tmp_path):
    process = launch("launch.sh", "training.steps=100000", "training.evaluate_every=100000",
                     NPROC=2, BACKEND="ddp")  # fmt: skip
    metrics = tmp_path / "out" / "metrics.jsonl"
    deadline = time.monotonic() + 150
    while not metrics.exists() or len(metrics.read_text().splitlines()) < 5:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(process_of_rank(process.pid, 1), signal.SIGKILL)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGKILL, said
    assert "process 1 failed first (SIGKILL)" in said


def process_of_rank(launcher: int, rank: int) -> int:
    """The id of the launcher's child process with this rank."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    for child in children:
        if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return int(child)
    raise AssertionError(f"no child has rank {rank}")


def test_what_all_processes_refuse_is_said_once(launch):
    process = launch("launch.sh", "training.batch_size=5", NPROC=2, BACKEND="ddp")
    said, _ = process.communicate(timeout=150)
    assert process.returncode == 2
    assert len(re.findall(r"^minillm: training.batch_size=5", said, re.M)) == 1, said


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"BACKEND": "zero4"}, "BACKEND=zero4 is not known. Allowed: cpu ddp fsdp2 gpu"),
        ({"BACKEND": "cpu", "NPROC": 2}, "Take BACKEND=ddp"),
        ({"RUNTIME": "zero2"}, "Write BACKEND=zero2 instead of RUNTIME=zero2"),
        ({"NPROC": 1, "NNODES": 2}, "MASTER_ADDR: of the first machine is needed"),
    ],
)
def test_a_launch_that_cannot_work_is_refused(launch, variables, message):
    process = launch("launch.sh", **variables)
    said, _ = process.communicate(timeout=30)
    assert process.returncode != 0 and message in said


def test_several_machines_refuse_the_old_name_too(launch, tmp_path):
    (tmp_path / "hosts").write_text("localhost slots=1\n")
    process = launch("launch_hosts.sh", HOSTS="hosts", RUNTIME="zero2", PATH=path_with(tmp_path))
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 2 and "Write BACKEND=zero2" in said


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"NPROC": 4}, "NPROC=4 is too large: this machine has 3 GPU(s)"),
        ({"NPROC": 3, "CUDA_VISIBLE_DEVICES": "0,2"}, "CUDA_VISIBLE_DEVICES=0,2 lists 2"),
        ({"NPROC": 2, "CUDA_VISIBLE_DEVICES": "GPU-8a,-1,2"}, "lists 1"),
        ({}, "not for NPROC=3"),
        ({"CUDA_VISIBLE_DEVICES": "0,2"}, "not for NPROC=2"),
        ({"NPROC": 9, "CUDA_VISIBLE_DEVICES": ""}, "not for NPROC=9"),  # nine processes on the CPU
    ],
)
def test_there_is_one_process_for_each_visible_gpu(tmp_path, variables, message):
    """BACKEND=gpu takes one process, so that the launcher says the number and does not start."""
    environment = clean_environment() | {"PATH": path_with(tmp_path), "BACKEND": "gpu"}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    environment |= {name: str(value) for name, value in variables.items()}
    process = subprocess.run(
        ["bash", ROOT / "scripts/launch.sh", "method=sft"],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert process.returncode == 2 and message in process.stderr, process.stderr


def test_a_signal_to_the_launcher_of_one_process_stops_the_training(launch, tmp_path):
    process = launch("launch.sh", "training.steps=100000", "training.evaluate_every=100000",
                     NPROC=1, BACKEND="cpu")  # fmt: skip
    metrics = tmp_path / "out" / "metrics.jsonl"
    deadline = time.monotonic() + 150
    while not metrics.exists() or len(metrics.read_text().splitlines()) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.terminate()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 75 and (tmp_path / "out" / "checkpoints").exists(), said


def test_one_process_says_what_is_wrong_without_a_traceback(launch):
    process = launch("launch.sh", "nonsense=1", NPROC=1)
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 2
    assert "unknown setting 'nonsense'" in said and "Traceback" not in said


def test_a_verb_for_one_process_runs_without_a_launcher():
    """`launch.sh report ...` answers as `minillm report ...` does."""
    process = subprocess.run(
        ["bash", ROOT / "scripts/launch.sh", "report", "nowhere", "--output", "x"],
        env=clean_environment() | {"NPROC": "2"}, capture_output=True, text=True,
    )  # fmt: skip
    assert process.returncode == 2
    assert process.stderr.startswith("minillm: nowhere does not exist."), process.stderr
