"""From which models a model was made, step by step: trained by `minillm`, or pruned."""

from dataclasses import dataclass
from pathlib import Path

from minillm.commands.saved_settings import found_path
from minillm.folders import names_a_folder
from minillm.runs import WORKING_FOLDER
from minillm.training.checkpoint import checkpoint_details


@dataclass(frozen=True)
class Origin:
    """One step: how a model was made, and from which model.

    Attributes:
        how: such as `trained with method kd`.
        name: the folder or Hub name of the earlier model; None if it had random weights.
        revision: of a Hub name, if one was given.
    """

    how: str
    name: str | None
    revision: str | None = None

    @property
    def is_on_hub(self) -> bool:
        return self.name is not None and is_hub_name(self.name)


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
    if "original" in details:
        parameters = details["parameters"]
        how = f"pruned from {parameters['original']:,} to {parameters['pruned']:,} parameters"
        return Origin(how, details["original"], details.get("revision"))
    student = (details.get("config") or {}).get("student")
    if student is None:
        return None
    how = f"trained with method {details['method']}"
    if student["path"] is None:
        return Origin(f"{how}, from random weights", None)
    folders = [Path(details.get(WORKING_FOLDER) or "."), Path.cwd()]
    name = found_path(student["path"], folders, may_be_hub_name=True)
    return Origin(how, name, student.get("revision"))
