"""A run's folder: never another run's, and beside every output what it was made with.

RUN/config.yaml       the fully resolved settings
RUN/provenance.json   command, git revision, package versions, machine, date
RUN/metrics.jsonl     what was logged, a step a line
RUN/best, RUN/last    models in Hugging Face format
RUN/checkpoints/      what the run goes on from after a stop, see training/run_state.py
RUN/summary.json      steps, seconds and best score; there once the run is through
RUN/evaluation/       result files
RUN/logs, RUN/wandb   what the trackers wrote
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
from minillm.version import git_state

PACKAGES = ("torch", "transformers", "accelerate", "deepspeed", "datasets", "tokenizers",
            "rouge-score", "numpy")  # fmt: skip
CONFIG = "config.yaml"
SUMMARY = "summary.json"
PROVENANCE = "provenance.json"
METRICS = "metrics.jsonl"
LOGS = "logs"
CHECKPOINTS = "checkpoints"
# All that a run's folder may hold. Checkpoints and json files are `.NAME.part` while written.
RUN_FILES = {CONFIG, SUMMARY, METRICS, LOGS, CHECKPOINTS, PROVENANCE, "best", "last",
             "evaluation", "wandb"}  # fmt: skip


def check_output(output: Path, overwrite: bool, resume: str | None = None) -> None:
    """Refuse a folder that is another run's or cannot be written, before anything is computed.

    Raises:
        InputError: it holds a run already, or files that no run of ours wrote; or is read-only.
    """
    names = {path.name for path in output.iterdir()} if output.is_dir() else set()
    own = {name.removeprefix(".").removesuffix(".part").removesuffix(".old") for name in names}
    if names and (CONFIG not in own or own - RUN_FILES):
        foreign = sorted(own - RUN_FILES) or sorted(names)
        raise InputError(
            f"output={output} holds files that are not a run's ({', '.join(foreign[:3])}): "
            f"nothing is written or deleted there. Give another output=FOLDER."
        )
    own_checkpoint = resume and Path(resume).resolve().parent.parent == output.resolve()
    if names and not (overwrite or resume == "auto" or own_checkpoint):
        raise InputError(
            f"output={output} holds another run: it is not overwritten. Give another "
            f"output=FOLDER, resume=auto to go on with that run where it stopped, or "
            f"overwrite=true to delete it first."
        )
    try:
        nearest = next(path for path in [output, *output.absolute().parents] if path.exists())
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise InputError(
            f"output={output} cannot be written: {first_line(error)}. Give another output=FOLDER."
        ) from error


def create_output(output: Path) -> None:
    """Make the folder of a new run, in place of one that `check_output` let be overwritten."""
    output.mkdir(parents=True, exist_ok=True)
    # The settings last: cut short, it is still known as a run's.
    for path in sorted(output.iterdir(), key=lambda path: path.name == CONFIG):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def provenance() -> dict[str, Any]:
    """What made an output: command, code, packages, machine and date."""
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
