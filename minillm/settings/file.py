"""Reads a file of settings: the config.yaml of a run, or a file that `minillm copy` has written.

The file has the sections of `minillm/config.py`; settings that it leaves out keep their defaults.
Instead of a section, it may name a file of a group, as on the command line:

    experiment: embedded/minillm
    training:
      lr: 1e-3
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from minillm.config import METHOD_CONFIGS
from minillm.errors import InputError, first_line, unknown_file
from minillm.folders import expand_home
from minillm.settings.groups import SETTINGS_SUFFIXES, groups
from minillm.settings.overrides import Override
from minillm.settings.types import leaves

# These settings are of one command, so that a file does not set them.
COMMAND_ONLY = ("overwrite", "resume", "dry_run")


@dataclass(frozen=True)
class SettingsFile:
    """The content of a file of settings.

    Attributes:
        name: the file as the command line names it.
        selections: the file of each selected group, such as `{"method": "kd"}`.
        values: all settings that the file sets.
    """

    name: str
    selections: dict[str, str]
    values: list[Override]


def is_settings_file(name: str | None) -> bool:
    """Whether the value of `experiment=` is a file of settings, not the name of an experiment."""
    return str(name).endswith(SETTINGS_SUFFIXES)


def read_settings_file(name: str) -> SettingsFile:
    """Read a file of settings.

    Raises:
        InputError: there is no such file, or it holds no settings.
    """
    content = _read(Path(name))
    files = groups()
    selections = {
        key: value for key, value in content.items() if key in files and isinstance(value, str)
    }
    for group, value in selections.items():
        if value not in files[group]:
            raise unknown_file(f"{group} in {name}", value, files[group])
    sections = {key: value for key, value in content.items() if key not in selections}
    if isinstance(sections.get("method"), dict) and "experiment" not in selections:
        selections["method"] = _method(sections["method"])
    output = sections.get("output")
    values = [
        Override(key, expand_home(value) if isinstance(value, str) else value, f"{key}={value}")
        for key, value in leaves(sections).items()
        if key not in COMMAND_ONLY and not _follows_output(key, value, output)
    ]
    return SettingsFile(name, selections, values)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(
            f"there is no file {path}. Give the config.yaml of a run, or a file that "
            f"`minillm copy EXPERIMENT FILE.yaml` has written."
        )
    try:
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except RecursionError as error:
        raise InputError(f"{path} has a value that contains itself. Correct the file.") from error
    except (OmegaConfBaseException, yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError(
            f"{path} cannot be read: {first_line(error)}. Correct the file."
        ) from error
    if not isinstance(content, dict) or not content:
        raise InputError(
            f"{path} holds no settings. Write sections of settings, such as training: {{lr: 1e-3}}."
        )
    if "defaults" in content:
        raise InputError(
            f"{path} has a list `defaults`, as the files of configs/ have. Name files of groups "
            f"instead, such as experiment: embedded/minillm."
        )
    return content


def _method(section: Mapping[str, Any]) -> str:
    """The file of configs/method, or the schema, whose settings include those of a section."""
    schemas = [
        schema
        for schema, config in METHOD_CONFIGS.items()
        if section.keys() <= {field.name for field in fields(config)}
    ]
    return f"schema_{(schemas or list(METHOD_CONFIGS))[0]}"


def _follows_output(key: str, value: Any, output: str | None) -> bool:
    """Whether a setting has the default that depends on the name of the output folder."""
    return key == "method.file" and value == f"{output}.responses.jsonl"
