"""`minillm copy`: writes the settings of an experiment to a file that the user can edit."""

from pathlib import Path

from omegaconf import OmegaConf

from minillm.compose import compose_settings
from minillm.errors import InputError
from minillm.settings.file import COMMAND_ONLY
from minillm.settings.groups import SETTINGS_SUFFIXES, description, group_file

HEADER = """\
# {description}.
# This file is a copy of the settings of experiment={experiment}. Edit it, then give it as
#   minillm train --config {file} key=value ...
# minillm/config.py explains all settings. Settings that are left out have the defaults there.
"""


def copy_experiment(experiment: str, file: Path) -> None:
    """Write all settings of an experiment to a new file.

    Raises:
        InputError: there is no such experiment, the file exists, or it cannot be written.
    """
    if not file.name.endswith(SETTINGS_SUFFIXES):
        raise InputError(f"{file} is not the name of a yaml file. Give FILE.yaml.")
    config = compose_settings([f"experiment={experiment}"]).config
    for name in (*COMMAND_ONLY, "output"):
        del config[name]
    about = description(group_file("experiment", experiment))
    header = HEADER.format(description=about, experiment=experiment, file=file)
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(header + OmegaConf.to_yaml(config))
    except FileExistsError as error:
        raise InputError(f"{file} exists and is not overwritten. Give a new file.") from error
    except OSError as error:
        raise InputError(
            f"{file} cannot be written: {error.strerror}. Give another file."
        ) from error
    print(f"written: {file}")
