"""The settings that a run, or a model that a run has written, carries.

A relative path in saved settings means the working folder in which the run was made. If a run was
moved together with its data, its new place shows where this folder is now.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minillm.adapter_paths import adapter_base
from minillm.compose import SAVED_SECTIONS, read_config
from minillm.files import read_json
from minillm.model_paths import run_folder
from minillm.runs import CONFIG, PROVENANCE, WORKING_FOLDER
from minillm.training.checkpoint import checkpoint_details


def run_of(model: Path) -> Path | None:
    """The folder of the run that holds the model's folder; None if no run holds it."""
    run = run_folder(model) if model.is_dir() else None
    return run if run and (run / CONFIG).is_file() else None


def saved_settings(model: Path) -> dict[str, Any] | None:
    """The settings of the run that has trained a model; None for a foreign model.

    They are in config.yaml of the run, or in minillm.json of a model that was copied elsewhere.
    Paths of data and teacher are those of this working folder, or absolute.

    Raises:
        InputError: config.yaml is not that of a run.
    """
    run = run_of(model)
    if run:
        settings, record = read_config(run / CONFIG), read_json(run / PROVENANCE) or {}
    else:
        record = checkpoint_details(model) or {}
        settings = record.get("config")
        if not isinstance(settings, dict):
            return None
        if not all(isinstance(settings.get(name), dict) for name in SAVED_SECTIONS):
            return None
    settings = settings | {"teacher": _loadable_teacher(settings)}
    made_in = [Path(record[WORKING_FOLDER])] if record.get(WORKING_FOLDER) else []
    return with_paths(settings, [*made_in, *_moved_to(run, settings), Path.cwd()])


def _loadable_teacher(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of the teacher. The base of the student becomes a model of its own.

    A saved student may be merged with its adapter, and then does not contain its base.
    """
    teacher, student = settings["teacher"], settings.get("student") or {}
    if teacher.get("kind") != "base":
        return teacher
    path = student["path"]
    names = ("tokenizer", "dtype", "load_in_4bit")
    model = {name: student[name] for name in names}
    return teacher | model | {"kind": "local", "path": adapter_base(path) or path}


def _moved_to(run: Path | None, settings: dict[str, Any]) -> list[Path]:
    """The folder from which `output` leads to the run; empty if no folder does."""
    output = Path(settings.get("output") or "")
    parts = output.parts
    if run is None or output.is_absolute() or run.resolve().parts[-len(parts) :] != parts:
        return []
    return [run.resolve().parents[len(parts) - 1]]


def with_paths(settings: dict[str, Any], folders: Sequence[Path]) -> dict[str, Any]:
    """The settings, with paths of data and teacher that are found from this working folder.

    Args:
        settings: saved settings.
        folders: the folders from which a relative path may lead; the first that has it is used.
    """
    data, teacher = dict(settings["data"]), dict(settings["teacher"])
    if data.get("kind") != "hub":
        data["path"] = found_path(data.get("path"), folders)
    for name in ("path", "tokenizer"):
        teacher[name] = found_path(teacher.get(name), folders, may_be_hub_name=True)
    teacher["members"] = [
        member | {"path": found_path(member.get("path"), folders, may_be_hub_name=True)}
        for member in teacher.get("members") or []
    ]
    return settings | {"data": data, "teacher": teacher}


def found_path(
    path: str | None, folders: Sequence[Path], *, may_be_hub_name: bool = False
) -> str | None:
    """The path as this working folder finds it. If nothing is there, the first path that was tried.

    A path stays relative if it leads to the same file from this working folder.
    """
    if not path or Path(path).is_absolute() or path.startswith("~"):
        return path
    bases = [folder for folder in folders if (folder / path).exists()]
    if not bases and may_be_hub_name and len(Path(path).parts) <= 2 and not path.startswith("."):
        return path
    base = (bases or folders)[0]
    return path if base.resolve() == Path.cwd().resolve() else str(base / path)
