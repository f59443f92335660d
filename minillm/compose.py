"""From `configs/` and the command line to one typed `Config`, with Hydra.

An override is `key=value` (`method.alpha=0.1`), or picks a file of a group (`method=kd`,
`data=e2e`, `experiment=embedded/minillm`). What is unknown is refused with the nearest valid name.
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
    """The folder configs/: inside the package where a wheel was installed, else beside it."""
    packaged = Path(__file__).with_name("configs")
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "configs"


CONFIGS = configs_folder()


def register_schemas() -> None:
    """Tell Hydra the types: one schema for the whole, one for each method."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for name, schema in METHOD_CONFIGS.items():
        store.store(group="method", name=f"schema_{name}", node=schema)


# Sections whose names are open: columns of the data, parameters of divergences.
OPEN_SECTIONS = ("data.columns.", "method.parameters.")

# Sections that a model trained here brings along when it is scored again.
SAVED_SECTIONS = ("data", "teacher", "evaluation", "runtime")


def load_config(overrides: Sequence[str], saved: dict | None = None) -> Config:
    """Compose, check and return the settings of a command.

    Args:
        overrides: of the command line.
        saved: settings of an earlier run, whose data, teacher and evaluation stand where the
            command line does not pick others.

    Raises:
        InputError: an override is malformed, names nothing, or has a value of the wrong type; or
            settings contradict each other.
    """
    register_schemas()
    if not CONFIGS.is_dir():
        raise InputError(f"{CONFIGS} is missing: install MiniLLM again (pip install .).")
    picks, values = _parse(overrides)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = _compose([override.input_line for override in picks])
    keys = list(dotted(OmegaConf.to_container(config)))
    picked = {override.key_or_group for override in picks}
    try:
        OmegaConf.set_struct(config, False)  # types still refuse what is not there
        for section in SAVED_SECTIONS if saved else ():
            if not picked & {section, "experiment"}:
                config[section] = OmegaConf.merge(config[section], saved[section])
        for override in values:
            key = override.key_or_group
            if key not in keys and not key.startswith(OPEN_SECTIONS):
                raise _unknown_setting(key, keys)
            if key == "method.name" and override.value() in groups()["method"]:
                raise InputError(
                    f"method.name={override.value()} only names the method in tables: to pick the "
                    f"method, write method={override.value()}."
                )
            OmegaConf.update(config, key, override.value())
        typed = OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise InputError(f"{_message(error)}.") from error
    validate(typed)
    check_used(typed, (override.key_or_group for override in values))
    return typed


def _compose(picks: Sequence[str]) -> DictConfig:
    try:
        return compose("config", overrides=list(picks))
    except (HydraException, OmegaConfBaseException) as error:
        text = f"{_message(error)}: {_message(error.__cause__)}" if error.__cause__ else str(error)
        raise InputError(f"{text}.") from error


def _message(error: BaseException) -> str:
    """Hydra's and OmegaConf's own words on one line: what is wrong, and the key."""
    lines = [line.strip() for line in str(error).splitlines()]
    keys = [line.partition(":")[2].strip() for line in lines if line.startswith("full_key")]
    return (f"{keys[0]}: " if keys else "") + lines[0].rstrip(".")


def groups() -> dict[str, list[str]]:
    """The config groups and the files of each: {"method": ["kd", ...], ...}."""
    found: dict[str, list[str]] = {}
    for path in sorted(CONFIGS.rglob("*.yaml")):
        relative = path.relative_to(CONFIGS).with_suffix("")
        relative = path.relative_to(CONFIGS).with_suffix("")
        is_ours = relative.parts[0] != "accelerate"  # those are for `accelerate launch`
        if len(relative.parts) > 1 and is_ours and not relative.name.startswith("_"):  # _: shared
            found.setdefault(relative.parts[0], []).append("/".join(relative.parts[1:]))
    return found


def _parse(overrides: Sequence[str]) -> tuple[list[Override], list[Override]]:
    """Split overrides into those that pick a group's file and those that set a value."""
    known, picks, values = groups(), [], []
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
        if override.key_or_group not in known:
            values.append(override)
            continue
        if override.value() not in known[override.key_or_group]:
            raise unknown_name(
                override.key_or_group, str(override.value()), known[override.key_or_group]
            )
        picks.append(override)
    return picks, values


def _unknown_setting(key: str, keys: Sequence[str]) -> InputError:
    """Names the setting of that name elsewhere, or the nearest of those beside it."""
    parent, _, name = key.rpartition(".")
    schemas = [
        schema for schema, fields in METHOD_CONFIGS.items() if name in fields.__dataclass_fields__
    ]
    methods = [preset for schema in schemas for preset in presets(schema)]
    if parent == "method" and methods:
        return InputError(f"{key} is a setting of method={' or '.join(methods)} alone. Pick that "
                          f"method, or leave {key} out.")  # fmt: skip
    homes = [other for other in keys if other.endswith(f".{name}")]
    if homes and parent not in keys:
        return InputError(f"unknown setting {key!r}. Did you mean {' or '.join(homes)}?")
    start = f"{parent}." if parent in keys else ""
    beside = [x for x in keys if x.startswith(start) and x.count(".") == start.count(".")]
    return unknown_name("setting", key, beside)


def presets(schema: str) -> list[str]:
    """The methods whose file in configs/method takes this schema."""
    files = sorted((CONFIGS / "method").glob("*.yaml"))
    contents = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in files}
    return [name for name, x in contents.items() if f"schema_{schema}" in x["defaults"]]


def write_config(config: Config, path: Path) -> None:
    """Write the resolved settings as YAML."""
    write_text(path, OmegaConf.to_yaml(OmegaConf.structured(config)))


def read_config(path: Path) -> dict:
    """The settings that a run was made with."""
    try:
        saved = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {first_line(error)}.") from error
    if not isinstance(saved, dict) or not saved.keys() >= {*SAVED_SECTIONS}:
        raise InputError(f"{path} is not the config of a run. Give another folder.")
    return saved
