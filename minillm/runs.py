"""The folder of a run: its files, its provenance, and the check that no other run is overwritten.

RUN/config.yaml       the fully resolved settings
RUN/provenance.json   command, git revision, Hub commits, package versions, machine, date
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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from minillm.adapter_paths import adapter_base
from minillm.compat import hub
from minillm.config import Config
from minillm.errors import InputError
from minillm.files import check_writable
from minillm.model_paths import CHECKPOINTS, METRICS, MODELS, SUMMARY
from minillm.version import git_state

PACKAGES = ("torch", "transformers", "accelerate", "deepspeed", "datasets", "tokenizers",
            "rouge-score", "numpy")  # fmt: skip
CONFIG = "config.yaml"
PROVENANCE = "provenance.json"
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
    check_writable(output, f"output={output}", "Give another output=FOLDER.")
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


def check_inputs_are_kept(config: Config) -> None:
    """Refuse `overwrite=true` if it would delete a file or folder that the same command reads.

    Raises:
        InputError: the message names the setting that reads from the output folder.
    """
    output = Path(config.output)
    if not (config.overwrite and output.is_dir()):
        return
    for setting, path in _inputs(config):
        ancestors = {x for start in (path.absolute(), path.resolve())
                     for x in (start, *start.parents)}  # fmt: skip
        # samefile also recognises links and other spellings of a name.
        if path.exists() and any(x.exists() and x.samefile(output) for x in ancestors):
            raise InputError(
                f"overwrite=true would delete {setting}={path}, which this command reads, because "
                f"it is in output={output}. Give another output=FOLDER, or copy {path} to another "
                f"folder and give the copy."
            )


def _inputs(config: Config) -> Iterator[tuple[str, Path]]:
    """The settings that name files or folders to read. The paths may be Hub names."""
    data, teacher, method = config.data, config.teacher, config.method
    paths = {"data.path": data.path, "data.plain_text": data.plain_text}
    paths["method.file"] = method.response_file
    for section, model in (("student", config.student), ("teacher", teacher)):
        paths |= {f"{section}.path": model.path, f"{section}.tokenizer": model.tokenizer}
        paths[f"the base of {section}.path"] = model.path and adapter_base(model.path)
    for number, member in enumerate(teacher.members):
        paths[f"teacher.members[{number}].path"] = member.path
    yield from ((setting, Path(path)) for setting, path in paths.items() if path)
    for split in ("train", "validation", "test"):
        if data.path and getattr(data, split):
            yield f"data.{split}", Path(data.path) / getattr(data, split)


def create_output(output: Path) -> None:
    """Create the folder of a new run. Delete the old run in it, which `check_output` allowed."""
    output.mkdir(parents=True, exist_ok=True)
    # CONFIG is deleted last, so that a half-deleted folder is still recognised as a run.
    for path in sorted(output.iterdir(), key=lambda path: path.name == CONFIG):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@contextmanager
def deleting_failed_start(output: Path) -> Iterator[None]:
    """Delete the folder of a new run if an error occurs before the run has computed anything.

    Otherwise the folder would refuse the next start as the folder of another run.
    """
    try:
        yield
    except BaseException:
        if output.is_dir() and not (output / METRICS).exists():
            with suppress(OSError):
                create_output(output)
                output.rmdir()
        raise


def provenance() -> dict[str, Any]:
    """How an output is made: command, code, Hub commits, packages, machine and date."""
    revision, dirty = git_state()
    return {
        "command": shlex.join(["minillm", *sys.argv[1:]]),
        "git_revision": revision,
        "git_dirty": dirty,
        "hub": hub.commits(),
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
