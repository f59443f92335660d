"""Runs of all methods on all backends by two processes, and the same runs by one process."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.distributed import worker

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Runs:
    """Runs of one number of processes.

    Attributes:
        folder: the folder of the runs.
        found: results of each process, see `worker.py`.
    """

    folder: Path
    found: list[dict]

    def metrics(self, name: str) -> list[dict]:
        lines = (self.folder / name / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def clean_environment() -> dict[str, str]:
    """Environment variables for one thread per process, this repository and this interpreter."""
    paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
                         "PATH": os.pathsep.join(paths)}  # fmt: skip


def start(folder: Path, settings: list[str], world: int) -> list[subprocess.Popen]:
    port, processes = free_port(), []
    for rank in range(world):
        environment = clean_environment()
        environment |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world),
                            "LOCAL_WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1",
                            "MASTER_PORT": port}  # fmt: skip
        with (folder / f"{rank}.log").open("w") as log:
            command = [sys.executable, "-m", "tests.distributed.worker", *settings]
            processes.append(
                subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
            )
    return processes


@pytest.fixture(scope="session")
def tiny_settings(settings, teacher) -> list[str]:
    return [*settings, f"teacher.path={teacher}/best", "student.layers=1", "student.heads=2",
            "runtime.timeout=60"]  # fmt: skip


@pytest.fixture(scope="session")
def runs(tiny_settings, tmp_path_factory) -> dict[int, Runs]:
    """The runs by number of processes. The single process is this process."""
    folders = {world: tmp_path_factory.mktemp(f"world{world}") for world in (1, 2)}
    for folder in folders.values():
        (folder / "text.txt").write_text("some words of plain text\n" * 20)
    processes = start(folders[2], tiny_settings, world=2)
    try:
        with contextlib.chdir(folders[1]):
            worker.main(tiny_settings, rank=0, world=1)
        for rank, process in enumerate(processes):
            status = process.wait(timeout=400)
            assert status == 0, (folders[2] / f"{rank}.log").read_text()[-4000:]
    finally:
        for process in processes:
            process.kill()
    found = {world: [json.loads((folder / f"{rank}.json").read_text()) for rank in range(world)]
             for world, folder in folders.items()}  # fmt: skip
    return {world: Runs(folders[world], found[world]) for world in (1, 2)}
