"""Composes one typed `Config` from `configs/` and the command line, with Hydra.

An override sets a value (`method.alpha=0.1`) or selects a file of a group (`method=kd`, `data=e2e`,
`experiment=embedded/minillm`). An unknown name is refused with the nearest valid name.
"""

from collections.abc import Sequence
from pathlib import Path

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from minillm.config import METHOD_CONFIGS, Config
from minillm.config_checks import validate
from minillm.errors import InputError, first_line, unknown_name
from minillm.files import write_text
from minillm.settings import check_used, dotted


def configs_folder() -> Path:
    """The folder configs/: in the package if a wheel is installed, else beside the package."""
    packaged = Path(__file__).with_name("configs")
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "configs"


CONFIGS = configs_folder()


def register_schemas() -> None:
    """Register the types with Hydra: one schema for `Config`, and each schema of a method."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for name, schema in METHOD_CONFIGS.items():
        store.store(group="method", name=f"schema_{name}", node=schema)


# Sections that accept any name: columns of the data, parameters of divergences.
OPEN_SECTIONS = ("data.columns.", "method.parameters.")

# Sections that `evaluate` and `generate` take from the run that trained the model.
SAVED_SECTIONS = ("data", "teacher", "evaluation", "runtime")


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
    register_schemas()
    if not CONFIGS.is_dir():
        raise InputError(f"{CONFIGS} is missing: install MiniLLM again (pip install .).")
    selections, values = _parse(overrides)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = _compose([override.input_line for override in selections])
    keys = list(dotted(OmegaConf.to_container(config)))
    selected_groups = {override.key_or_group for override in selections}
    try:
        OmegaConf.set_struct(config, False)  # the types still refuse unknown settings
        for section in SAVED_SECTIONS if saved else ():
            if not selected_groups & {section, "experiment"}:
                config[section] = OmegaConf.merge(config[section], saved[section])
        for override in values:
            key = override.key_or_group
            if key not in keys and not key.startswith(OPEN_SECTIONS):
                raise _unknown_setting(key, keys)
            if key == "method.name" and override.value() in groups()["method"]:
                raise InputError(
                    f"method.name={override.value()} sets only the name of the method in tables. "
                    f"To select the method, write method={override.value()}."
                )
            _set_value(config, override)
        typed = OmegaConf.to_object(config)
        _prefer_the_command_line(typed, values)
    except OmegaConfBaseException as error:
        raise InputError(f"{_message(error)}.") from error
    validate(typed)
    check_used(typed, (override.key_or_group for override in values))
    return typed


def _set_value(config: DictConfig, override: Override) -> None:
    """Set one value. The message of a wrong type names the whole override."""
    key = override.key_or_group
    try:
        OmegaConf.update(config, key, override.value())
    except OmegaConfBaseException as error:
        text = _message(error)
        where = "" if text.startswith(key) else f"{override.input_line}: "
        raise InputError(
            f"{where}{text}. The types of all settings are in minillm/config.py."
        ) from error


def _prefer_the_command_line(config: Config, values: Sequence[Override]) -> None:
    """Remove values from `training.by_size` that the command line sets for students of any size."""
    settings = dotted({override.key_or_group: override.value() for override in values})
    for entry in config.training.by_size:
        for name in ("lr", "epochs"):
            if f"training.{name}" in settings:
                setattr(entry, name, None)


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


def groups() -> dict[str, list[str]]:
    """The files of each config group: {"method": ["kd", ...], ...}."""
    files: dict[str, list[str]] = {}
    for path in sorted(CONFIGS.rglob("*.yaml")):
        relative = path.relative_to(CONFIGS).with_suffix("")
        is_group = relative.parts[0] != "accelerate"  # these files are for `accelerate launch`
        if len(relative.parts) > 1 and is_group and not relative.name.startswith("_"):  # _: shared
            files.setdefault(relative.parts[0], []).append("/".join(relative.parts[1:]))
    return files


def _parse(overrides: Sequence[str]) -> tuple[list[Override], list[Override]]:
    """Split overrides into selections of a group's file and settings of a value."""
    files, selections, values = groups(), [], []
    parser = OverridesParser.create()
    for text in overrides:
        malformed = InputError(
            f"{text!r} is not an override. Write key=value, such as method.alpha=0.1 or "
            f"evaluation.seeds=[1,2], or group=file, such as experiment=embedded/minillm."
        )
        try:
            override = parser.parse_override(text)
        except HydraException as error:
            raise malformed from error
        plain = override.type is OverrideType.CHANGE and not override.package
        if not plain or override.is_sweep_override():
            raise malformed
        group = override.key_or_group
        if group not in files:
            values.append(override)
            continue
        if override.value() not in files[group]:
            raise unknown_name(group, str(override.value()), files[group])
        selections.append(override)
    return selections, values


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


def presets(schema: str) -> list[str]:
    """The methods whose file in configs/method uses this schema."""
    files = sorted((CONFIGS / "method").glob("*.yaml"))
    contents = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in files}
    return [name for name, file in contents.items() if f"schema_{schema}" in file["defaults"]]


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
