"""The folder of a run: its files, its provenance, and the check that no other run is overwritten.

RUN/config.yaml       the fully resolved settings
RUN/provenance.json   command, git revision, package versions, machine, date
RUN/metrics.jsonl     logged metrics, one JSON object per line
RUN/best, RUN/last    models in Hugging Face format
RUN/checkpoints/      the states from which the run can continue, see training/run_state.py
RUN/summary.json      steps, seconds and best score, written at the end of the run
RUN/evaluation/       result files
RUN/logs, RUN/wandb   files of the trackers
"""

import importlib.metadata
import os
import platform
import shlex
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from minillm.errors import InputError, first_line
from minillm.model_paths import CHECKPOINTS, MODELS
from minillm.version import git_state

PACKAGES = ("torch", "transformers", "accelerate", "deepspeed", "datasets", "tokenizers",
            "rouge-score", "numpy")  # fmt: skip
CONFIG = "config.yaml"
SUMMARY = "summary.json"
PROVENANCE = "provenance.json"
METRICS = "metrics.jsonl"
LOGS = "logs"
# The key, in PROVENANCE of a run and in minillm.json, of the folder in which the run was made.
WORKING_FOLDER = "working_folder"
# All names in the folder of a run. Checkpoints and json files are `.NAME.part` while written.
RUN_FILES = {CONFIG, SUMMARY, METRICS, LOGS, CHECKPOINTS, PROVENANCE, *MODELS, "evaluation",
             "wandb"}  # fmt: skip


def check_output(output: Path, overwrite: bool, resume: str | None = None) -> None:
    """Refuse an output folder that holds another run or cannot be written.

    Raises:
        InputError: the folder holds a run, holds files that no run wrote, or is read-only.
    """
    names = {path.name for path in output.iterdir()} if output.is_dir() else set()
    final_names = {
        name.removeprefix(".").removesuffix(".part").removesuffix(".old") for name in names
    }
    if names and (CONFIG not in final_names or final_names - RUN_FILES):
        unknown_names = sorted(final_names - RUN_FILES) or sorted(names)
        raise InputError(
            f"output={output} holds files that do not belong to a run "
            f"({', '.join(unknown_names[:3])}), so nothing is written or deleted there. Give "
            f"another output=FOLDER."
        )
    resumes_output = resume and Path(resume).resolve().parent.parent == output.resolve()
    if names and not (overwrite or resume == "auto" or resumes_output):
        raise InputError(
            f"output={output} holds another run, which is not overwritten. Give another "
            f"output=FOLDER, resume=auto to continue that run, or overwrite=true to delete that "
            f"run first."
        )
    try:
        existing = next(path for path in [output, *output.absolute().parents] if path.exists())
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        raise InputError(
            f"output={output} cannot be written: {first_line(error)}. Give another output=FOLDER."
        ) from error


def create_output(output: Path) -> None:
    """Create the folder of a new run. Delete the old run in it, which `check_output` allowed."""
    output.mkdir(parents=True, exist_ok=True)
    # CONFIG is deleted last, so that a half-deleted folder is still recognised as a run.
    for path in sorted(output.iterdir(), key=lambda path: path.name == CONFIG):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def provenance() -> dict[str, Any]:
    """How an output is made: command, code, packages, machine and date."""
    revision, dirty = git_state()
    return {
        "command": shlex.join(["minillm", *sys.argv[1:]]),
        "git_revision": revision,
        "git_dirty": dirty,
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def machine() -> str:
    """Processor and accelerators, in words."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        processor = names[0].split(":", 1)[1].strip() if names else processor
    text = f"{processor}, {torch.get_num_threads()} of {os.cpu_count()} cores"
    if torch.cuda.is_available():
        text += f"; {torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return text
