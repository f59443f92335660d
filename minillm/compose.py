"""Composes one typed `Config` from `configs/` and the command line, with Hydra.

An override sets a value (`method.alpha=0.1`) or selects a file of a group (`method=kd`, `data=e2e`,
`experiment=embedded/minillm`, or a file of settings: `experiment=./my.yaml`). An unknown name is
refused with the nearest valid name.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from minillm.config import METHOD_CONFIGS, Config
from minillm.config_checks import validate
from minillm.errors import InputError, first_line, unknown_file, unknown_name
from minillm.files import write_text
from minillm.settings.file import SettingsFile, is_settings_file, read_settings_file
from minillm.settings.groups import CONFIGS, group_file, groups, presets
from minillm.settings.overrides import Override, fitting, parse_override
from minillm.settings.rules import check_used, dotted
from minillm.settings.types import is_section

COMMAND_LINE = "command line"


@dataclass(frozen=True)
class Composition:
    """Settings that are composed, but not yet checked.

    Attributes:
        config: all settings.
        selections: the selected file of each group, such as `{"method": "kd"}`.
        origins: where a setting was set: the command line, or a file of settings. Settings that
            are not in it have the values of `configs/` or of `minillm/config.py`.
    """

    config: DictConfig
    selections: dict[str, str]
    origins: dict[str, str]

    def typed(self) -> Config:
        """The settings as dataclasses.

        Raises:
            InputError: a value refers to a setting that does not exist.
        """
        try:
            return OmegaConf.to_object(self.config)
        except OmegaConfBaseException as error:
            raise InputError(f"{_message(error)}.") from error


def register_schemas() -> None:
    """Register the types with Hydra: one schema for `Config`, and each schema of a method."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for name, schema in METHOD_CONFIGS.items():
        store.store(group="method", name=f"schema_{name}", node=schema)


# Sections that accept any name: columns of the data, parameters of divergences.
OPEN_SECTIONS = ("data.columns.", "data.labels.", "method.parameters.")

# Sections that `evaluate` and `generate` take from the run that trained the model.
SAVED_SECTIONS = ("data", "teacher", "evaluation", "runtime")

# Settings of which exactly one is used. If the command line sets one of them, the other is null.
ALTERNATIVES = (
    ("training.steps", "training.epochs"),
    ("student.path", "student.architecture"),
)


def load_config(overrides: Sequence[str], saved: dict | None = None) -> Config:
    """Compose, check and return the settings of a command.

    Args:
        overrides: arguments of the command line.
        saved: settings of an earlier run. Its `SAVED_SECTIONS` are used, except those for which the
            command line selects a file.

    Raises:
        InputError: an override is malformed, its name is unknown, its value has the wrong type, or
            settings contradict each other.
    """
    composition = compose_settings(overrides, saved)
    typed = composition.typed()
    of_command_line = {
        name for name, origin in composition.origins.items() if origin == COMMAND_LINE
    }
    # A file of settings that has no `training.by_size` of its own is meant for every size.
    has_own_sizes = "training.by_size" in composition.origins
    _prefer(typed, of_command_line if has_own_sizes else composition.origins.keys())
    validate(typed)
    check_used(typed, of_command_line)
    return typed


def compose_settings(overrides: Sequence[str], saved: dict | None = None) -> Composition:
    """Compose the settings of a command, as `load_config` describes, without checking ranges.

    Raises:
        InputError: an override is malformed, its name is unknown, or its value has the wrong type.
    """
    register_schemas()
    if not CONFIGS.is_dir():
        raise InputError(f"{CONFIGS} is missing: install MiniLLM again (pip install .).")
    selections, values, file = _read_overrides(overrides)
    all_selections = (file.selections if file else {}) | selections
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = _compose([f"{group}={name}" for group, name in all_selections.items()])
    keys, origins = list(dotted(OmegaConf.to_container(config))), {}
    OmegaConf.set_struct(config, False)  # the types still refuse unknown settings
    try:
        for section in SAVED_SECTIONS if saved else ():
            if not selections.keys() & {section, "experiment"} and not file:
                config[section] = OmegaConf.merge(config[section], saved[section])
    except OmegaConfBaseException as error:
        raise InputError(f"{_message(error)}.") from error
    for override in _not_replaced(file, selections) if file else ():
        try:
            _set(config, override, keys)
        except InputError as error:
            raise InputError(f"{file.name}: {error}") from error
        origins[override.key] = file.name
    for override in values:
        _set(config, override, keys)
        _check_name(override)
        origins |= dict.fromkeys(_settings_in(override), COMMAND_LINE)
    _clear_alternatives(config, origins)
    return Composition(config, all_selections, origins)


def _read_overrides(
    overrides: Sequence[str],
) -> tuple[dict[str, str], list[Override], SettingsFile | None]:
    """The selections and the values of the command line, and its file of settings, if any."""
    files, selections, values, file = groups(), {}, [], None
    for text in overrides:
        override = parse_override(text, files)
        group, name = override.key, override.value
        if group not in files:
            values.append(override)
        elif group == "experiment" and is_settings_file(name):
            file = read_settings_file(name)
        elif name in files[group]:
            selections[group] = name
        else:
            raise unknown_file(group, str(name), files[group])
    if file and "experiment" in selections:
        raise InputError(
            f"experiment={selections['experiment']} and the file {file.name} are both given. "
            f"Leave one of them out, or write `experiment: {selections['experiment']}` into the "
            f"file."
        )
    return selections, values, file


def _not_replaced(file: SettingsFile, selections: dict[str, str]) -> list[Override]:
    """The settings of a file, without those of the files that the command line selects.

    A file of data, method or model replaces the whole section. A file of runtime replaces only the
    settings that it names, because it says nothing about the seed.
    """
    replaced = {"student" if group == "model" else group for group in selections}
    if "runtime" in replaced:
        content = yaml.safe_load(group_file("runtime", selections["runtime"]).read_text("utf-8"))
        replaced = replaced - {"runtime"} | {f"runtime.{name}" for name in content}
    starts = tuple(f"{name}." for name in replaced)
    return [value for value in file.values if not f"{value.key}.".startswith(starts)]


def _set(config: DictConfig, override: Override, keys: Sequence[str]) -> None:
    """Set one value.

    Raises:
        InputError: the setting is unknown, or the value has the wrong type. The message names the
            setting as it was written.
    """
    key = override.key
    if key not in keys and not key.startswith(OPEN_SECTIONS):
        raise _unknown_setting(key, keys)
    try:
        OmegaConf.update(config, key, fitting(key, override.value))
    except OmegaConfBaseException as error:
        text = _message(error)
        where = "" if text.startswith(key) else f"{override.text}: "
        raise InputError(
            f"{where}{text}. The types of all settings are in minillm/config.py."
        ) from error


def _prefer(config: Config, names: Collection[str]) -> None:
    """Remove the values of `training.by_size` for settings that the user sets for every size."""
    for entry in config.training.by_size:
        for name in ("lr", "epochs"):
            if f"training.{name}" in names:
                setattr(entry, name, None)


def _settings_in(override: Override) -> list[str]:
    """The settings that an override sets: several for a section, such as training={lr:1e-5}."""
    if isinstance(override.value, Mapping) and is_section(override.key):
        return list(dotted({override.key: override.value}))
    return [override.key]


def _check_name(override: Override) -> None:
    """Refuse the name of a method if its value looks like the selection of a method."""
    if override.key == "method.name" and override.value in groups()["method"]:
        raise InputError(
            f"method.name={override.value} sets only the name of the method in tables. "
            f"To select the method, write method={override.value}."
        )


def _clear_alternatives(config: DictConfig, origins: dict[str, str]) -> None:
    """Set the alternative of a setting of the command line to null, see `ALTERNATIVES`."""
    given = {key for key, origin in origins.items() if origin == COMMAND_LINE}
    for pair in ALTERNATIVES:
        for key, other in (pair, pair[::-1]):
            if key in given and other not in given and OmegaConf.select(config, key) is not None:
                OmegaConf.update(config, other, None)
                origins[other] = f"{COMMAND_LINE}, by {key}"


def _compose(selections: Sequence[str]) -> DictConfig:
    try:
        return compose("config", overrides=list(selections))
    except (HydraException, OmegaConfBaseException) as error:
        text = f"{_message(error)}: {_message(error.__cause__)}" if error.__cause__ else str(error)
        raise InputError(f"{text}.") from error


def _message(error: BaseException) -> str:
    """The message of Hydra or OmegaConf on one line, after the key if the message has one."""
    lines = [line.strip() for line in str(error).splitlines()]
    keys = [line.partition(":")[2].strip() for line in lines if line.startswith("full_key")]
    return (f"{keys[0]}: " if keys else "") + lines[0].rstrip(".")


def _unknown_setting(key: str, keys: Sequence[str]) -> InputError:
    """The error names the same setting in another section, or the nearest in the same section."""
    parent, _, name = key.rpartition(".")
    schemas = [
        schema for schema, fields in METHOD_CONFIGS.items() if name in fields.__dataclass_fields__
    ]
    methods = [preset for schema in schemas for preset in presets(schema)]
    if parent == "method" and methods:
        return InputError(f"{key} is a setting of method={' or '.join(methods)} only. Select that "
                          f"method, or leave {key} out.")  # fmt: skip
    same_name = [known for known in keys if known.endswith(f".{name}")]
    if same_name and parent not in keys:
        return InputError(f"unknown setting {key!r}. Did you mean {' or '.join(same_name)}?")
    start = f"{parent}." if parent in keys else ""
    same_section = [
        known for known in keys if known.startswith(start) and known.count(".") == start.count(".")
    ]
    return unknown_name("setting", key, same_section)


def write_config(config: Config, path: Path) -> None:
    """Write the resolved settings as YAML."""
    write_text(path, OmegaConf.to_yaml(OmegaConf.structured(config)))


def read_config(path: Path) -> dict:
    """The settings that a run has stored."""
    try:
        saved = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {first_line(error)}.") from error
    if not isinstance(saved, dict) or not saved.keys() >= {*SAVED_SECTIONS}:
        raise InputError(f"{path} is not the config of a run. Give another folder.")
    return saved
