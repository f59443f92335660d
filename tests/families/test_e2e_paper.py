"""scripts/e2e/paper.sh: jobs that run at once."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INPUTS = 480  # of which 400 are for validation
SIZES = ("48x2", "64x2")


def write_data(folder: Path) -> Path:
    """Files of the form of E2E NLG, with short inputs."""
    folder.mkdir()
    for name, first, count in (("trainset", 0, INPUTS), ("devset", INPUTS, 8)):
        rows = (f'"name[Cafe {i}], area[city centre]","Cafe {i} is in the city centre."\n'
                for i in range(first, first + count))  # fmt: skip
        (folder / f"{name}.csv").write_text("mr,ref\n" + "".join(rows))
    return folder


@pytest.mark.scripts
@pytest.mark.timeout(1800)
def test_jobs_of_seqkd_that_start_together_write_the_responses_once(tmp_path):
    jobs = ["teacher", *(f"{size}/{name}" for name in ("init", "seqkd-1") for size in SIZES)]
    environment = os.environ | {"SMOKE": "1", "JOBS": "2", "RUNS": str(tmp_path / "runs")}
    done = subprocess.run(
        ["bash", str(ROOT / "scripts/e2e/paper.sh"), str(write_data(tmp_path / "data")), *jobs],
        cwd=ROOT, env=environment, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for size in SIZES:
        assert (tmp_path / f"runs/{size}/seqkd-1/evaluation/e2e.json").is_file()
    logs = [(tmp_path / f"runs/logs/{size}-seqkd-1.log").read_text() for size in SIZES]
    for text in ("the teacher writes 320 responses to", "320 responses of the teacher read from"):
        assert sum(text in log for log in logs) == 1, logs
