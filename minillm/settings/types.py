"""The type and the rules of every setting, by its dotted key such as `training.lr`."""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from minillm.config import METHOD_CONFIGS, Config
from minillm.settings.rules import RULES, Rules


@cache
def settings_by_key() -> dict[str, tuple[Any, Rules]]:
    """Type and rules of every setting; the settings of all methods have keys `method.*`."""
    known = _settings_of(Config, "")
    for schema in METHOD_CONFIGS.values():
        known |= _settings_of(schema, "method.")
    return known


def _settings_of(section: type, prefix: str) -> dict[str, tuple[Any, Rules]]:
    hints = get_type_hints(section)
    known: dict[str, tuple[Any, Rules]] = {}
    for field in fields(section):
        key, hint = prefix + field.name, hints[field.name]
        if is_dataclass(hint):
            known |= _settings_of(hint, f"{key}.")
        elif key != "method":  # its fields are those of the schemas
            known[key] = (hint, field.metadata.get(RULES, Rules()))
    return known


def is_section(key: str) -> bool:
    """Whether a key is a section of settings, such as `training`."""
    return any(name.startswith(f"{key}.") for name in settings_by_key())


def leaves(sections: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """All settings by dotted keys. A setting that is a mapping, as `data.columns`, stays whole."""
    values: dict[str, Any] = {}
    for name, value in sections.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and is_section(key):
            values |= leaves(value, f"{key}.")
        else:
            values[key] = value
    return values


def setting_type(key: str) -> Any:
    """The type of a setting without `None`, such as `str`; None if there is no such setting.

    `data.columns.id` and other entries of mappings have the type of the values of the mapping.
    """
    known = settings_by_key()
    hint, _ = known.get(key, (None, None))
    parent, _ = known.get(key.rpartition(".")[0], (None, None))
    if hint is None and get_origin(parent) is dict:
        hint = get_args(parent)[1]
    return without_none(hint)


def without_none(hint: Any) -> Any:
    """The type without `None`, such as `str` of `str | None`."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(each for each in get_args(hint) if each is not types.NoneType)
    return hint


def allowed_words(key: str) -> list[str]:
    """The words that a setting allows; none for a setting with other values."""
    if setting_type(key) is bool:
        return ["true", "false"]
    _, rules = settings_by_key().get(key, (None, Rules()))
    return list(rules.choices or ())
