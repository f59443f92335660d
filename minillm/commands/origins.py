"""From which models a model was made, step by step: trained by `minillm`, or pruned."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minillm.commands.saved_settings import found_path, run_of
from minillm.compat import hub
from minillm.files import read_json
from minillm.folders import names_a_folder
from minillm.runs import PROVENANCE, WORKING_FOLDER
from minillm.training.checkpoint import checkpoint_details


@dataclass(frozen=True)
class Origin:
    """One step: how a model was made, and from which model.

    Attributes:
        how: such as `trained with method kd`.
        name: the folder or Hub name of the earlier model; None if it had random weights.
        revision: of a Hub name, if one was given.
        commit: the commit of the Hub that was read; None if the model was not read from the Hub.
    """

    how: str
    name: str | None
    revision: str | None = None
    commit: str | None = None


def is_hub_name(name: str) -> bool:
    """Whether a name is neither a folder nor looks like the name of a folder."""
    return not names_a_folder(name) and not Path(name).exists()


def origins(model: str) -> list[Origin]:
    """The steps that made a model, the last step first; none for a foreign model."""
    steps: list[Origin] = []
    while (step := _last_step(Path(model))) and step.name not in [x.name for x in steps]:
        steps.append(step)
        if step.name is None:
            break
        model = step.name
    return steps


def _last_step(model: Path) -> Origin | None:
    details = checkpoint_details(model) or {}
    commits = commits_of(model, details)
    if "original" in details:
        parameters = details["parameters"]
        how = f"pruned from {parameters['original']:,} to {parameters['pruned']:,} parameters"
        name, revision = details["original"], details.get("revision")
        return Origin(how, name, revision, commits.get(hub.key(name, revision)))
    student = (details.get("config") or {}).get("student")
    if student is None:
        return None
    how = f"trained with method {details['method']}"
    if student["path"] is None:
        return Origin(f"{how}, from random weights", None)
    folders = [Path(details.get(WORKING_FOLDER) or "."), Path.cwd()]
    name, revision = student["path"], student.get("revision")
    commit = commits.get(hub.key(name, revision))
    return Origin(how, found_path(name, folders, may_be_hub_name=True), revision, commit)


def commits_of(model: Path, details: Mapping[str, Any]) -> dict[str, str]:
    """The commits of the Hub that were read to make a model, by the names of `hub.commits`."""
    run = run_of(model)
    record = (read_json(run / PROVENANCE) if run else details) or {}
    return record.get("hub") or {}
