"""Reads a file of configs/sweep or configs/system2, or a file of the user with the same form."""

from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from minillm.errors import InputError, first_line, unknown_file
from minillm.folders import expand_home
from minillm.settings.groups import CONFIGS, SETTINGS_SUFFIXES, files_of


def read_named_file(folder: str, name: str) -> dict[str, Any]:
    """The content of a file in a folder of configs/, or of a file that a path names.

    Args:
        folder: the folder, such as `sweep`. It is also the key on the command line.
        name: a file in it without its ending, or the path of a yaml file.

    Raises:
        InputError: there is no such file, or it cannot be read.
    """
    path = Path(expand_home(name))
    if not name.endswith(SETTINGS_SUFFIXES):
        path = CONFIGS / folder / f"{name}.yaml"
        if name not in files_of(folder):
            raise unknown_file(folder, name, files_of(folder))
    try:
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (OmegaConfBaseException, yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        known = ", ".join(files_of(folder))
        raise InputError(
            f"{folder}={name} cannot be read: {first_line(error)}. Give one of {known}, or "
            f"./FILE.yaml."
        ) from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no settings, such as KEY: VALUE.")
    return content
