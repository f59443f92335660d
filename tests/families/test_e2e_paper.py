"""scripts/e2e/paper.sh: jobs that run at once, and the report of an interrupted matrix."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.reporting.conftest import make_result

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


def run_script(folder: Path, *jobs: str, **variables: str) -> subprocess.CompletedProcess:
    """Run the script with runs in `folder/runs`."""
    data = folder / "data" if (folder / "data").exists() else write_data(folder / "data")
    return subprocess.run(
        ["bash", str(ROOT / "scripts/e2e/paper.sh"), str(data), *jobs],
        cwd=ROOT, env=os.environ | variables | {"RUNS": str(folder / "runs")}, text=True,
        capture_output=True, check=False,
    )  # fmt: skip


@pytest.mark.scripts
@pytest.mark.timeout(1800)
def test_jobs_of_seqkd_that_start_together_write_the_responses_once(tmp_path):
    jobs = ["teacher", *(f"{size}/{name}" for name in ("init", "seqkd-1") for size in SIZES)]
    done = run_script(tmp_path, *jobs, SMOKE="1", JOBS="2")
    assert done.returncode == 0, done.stdout + done.stderr
    for size in SIZES:
        assert (tmp_path / f"runs/{size}/seqkd-1/evaluation/e2e.json").is_file()
    logs = [(tmp_path / f"runs/logs/{size}-seqkd-1.log").read_text() for size in SIZES]
    for text in ("the teacher writes 320 responses to", "320 responses of the teacher read from"):
        assert sum(text in log for log in logs) == 1, logs


@pytest.mark.scripts
@pytest.mark.timeout(600)
def test_the_report_of_an_interrupted_matrix(tmp_path):
    """It has the finished jobs, names the others, and runs none of them."""
    done = run_script(tmp_path, REPORT="1")
    assert done.returncode == 0 and "There are no results" in done.stdout, done.stderr
    runs = tmp_path / "runs"
    finished = {"teacher": 52, "32x1/init": 40, "32x1/sft-1": 42, "32x1/minillm-2": 45}
    for job, mean in finished.items():
        method = job.split("/")[-1].split("-")[0]
        file = runs / job / "evaluation" / "e2e.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(make_result(method, mean)))
    done = run_script(tmp_path, REPORT="1")
    assert done.returncode == 0, done.stdout + done.stderr
    missing = {line.strip() for line in done.stdout.splitlines() if line.startswith("  ")}
    assert {"small_teacher", "32x1/kd-1", "64x2/init"} < missing
    # One job lacks only the scores of its last checkpoint.
    assert missing & finished.keys() == {"32x1/minillm-2"}
    assert (runs / "report" / "index.html").is_file()
    table = (runs / "report" / "32x1" / "table.md").read_text()
    assert "minillm minus sft" in table and "init" in table
    assert not (runs / "report" / "48x2").exists() and not (runs / "logs").exists()
