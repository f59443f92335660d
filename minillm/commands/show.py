"""`minillm show`: prints all settings, and where each was set."""

import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from minillm.compose import compose_settings
from minillm.config import Config, MiniLLMConfig
from minillm.config_checks import validate
from minillm.errors import InputError
from minillm.settings.groups import CONFIGS
from minillm.settings.types import leaves

DEFAULT = "default"


def show_settings(overrides: list[str]) -> None:
    """Print every setting as key=value with its origin, and what the settings still lack.

    The origin is `default` (of `minillm/config.py`), a file of configs/, a file of settings, the
    command line, or the variant of MiniLLM.

    Raises:
        InputError: a setting is unknown, or a value has the wrong type.
    """
    composition = compose_settings(overrides)
    config = composition.typed()
    values = leaves(asdict(config))
    of_files = file_origins(composition.selections)
    origins = {
        key: _origin(key, composition.origins) or _origin(key, of_files) or DEFAULT
        for key in values
    }
    if isinstance(config.method, MiniLLMConfig):
        _add_variant(config, values, origins)
    lines = {key: f"{key}={as_written(value)}" for key, value in values.items()}
    width = min(60, max(map(len, lines.values())))
    for key, line in lines.items():
        print(f"{line:{width}}  {origins[key]}")
    try:
        validate(config)
    except InputError as error:
        print(f"minillm: these settings are not complete: {error}", file=sys.stderr)


def file_origins(selections: Mapping[str, str]) -> dict[str, str]:
    """The file of configs/ that sets a setting, the last if there are several.

    Hydra gives the files in the order in which they are merged, with the section of each.
    """
    origins: dict[str, str] = {}
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        overrides = [f"{group}={name}" for group, name in selections.items()]
        files = loader.compute_defaults_list("config", overrides, RunMode.RUN).defaults
    for each in files:
        path = CONFIGS / f"{each.config_path}.yaml"
        if path.is_file():  # the schemas and the files of Hydra are not files of configs/
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            content.pop("defaults", None)
            section = {each.package: content} if each.package else content
            origins |= dict.fromkeys(leaves(section), f"configs/{each.config_path}.yaml")
    return origins


def as_written(value: Any) -> str:
    """A value as a command line gives it: `null`, `true`, `[1,2]`, `{a:1}`."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(as_written, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{as_written(entry)}' for key, entry in value.items())}}}"
    return str(value)


def _origin(key: str, origins: Mapping[str, str]) -> str | None:
    """The origin of a setting, or of the section or the entry by which it was set."""
    entries = [origin for name, origin in origins.items() if name.startswith(f"{key}.")]
    while key and key not in origins:
        key = key.rpartition(".")[0]
    return entries[-1] if entries else origins.get(key)


def _add_variant(config: Config, values: dict[str, Any], origins: dict[str, str]) -> None:
    """Replace null by the value that the variant of MiniLLM gives, where it gives one."""
    from minillm.objectives.minillm import with_variant  # takes seconds, because it imports torch

    for name, value in with_variant(vars(config.method)).items():
        key = f"method.{name}"
        if key in values and values[key] is None and value is not None:
            values[key], origins[key] = value, f"variant {config.method.variant}"
