"""Reads the settings of a command line: `key=value` sets a value, `group=file` selects a file.

The type of the setting decides how the value is read. A text is taken as it is written, so that
every path is a value: `output=runs/a (b), c=d`. Quotes around the whole text are removed, `~` at
the start is the home folder, and `null` is no text. All other values follow Hydra's grammar:
numbers, true, false, null, lists `[1,2]` and mappings `{a:1}`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from hydra.errors import HydraException

from minillm.errors import InputError
from minillm.folders import expand_home
from minillm.settings.types import setting_type

KEY = re.compile(r"[A-Za-z_]\w*(\.\w+)*")
QUOTED = re.compile(r"""(["'])(.*)\1""", re.S)


@dataclass(frozen=True)
class Override:
    """One setting of a command line or of a file of settings.

    Attributes:
        key: the setting, such as `training.lr`, or a group, such as `method`.
        value: the value, not yet converted to the type of the setting.
        text: the setting as it was written, for messages.
    """

    key: str
    value: Any
    text: str


def parse_override(
    text: str,
    groups: Mapping[str, list[str]],
    type_of: Callable[[str], Any] = setting_type,
) -> Override:
    """Read one `key=value` or `group=file`.

    Args:
        text: the argument of the command line.
        groups: the config groups. Their values are texts.
        type_of: the type of the setting of a key, or None if there is no such setting.

    Raises:
        InputError: the argument has another form, or its value cannot be read.
    """
    key, equals, value = text.partition("=")
    if not equals or not KEY.fullmatch(key):
        raise InputError(
            f"{text!r} is not a setting. Write key=value, such as method.alpha=0.1 or "
            f"evaluation.seeds=[1,2], or group=file, such as experiment=embedded/minillm."
        )
    known_type = type_of(key)
    if key in groups or known_type is str:
        return Override(key, as_text(value, text), text)
    return Override(key, _by_grammar(value, text, is_known=known_type is not None), text)


def as_text(value: str, text: str) -> str | None:
    """The value of a text setting, see the description of this module."""
    if not value:
        raise InputError(f"{text} has no value. Write a text after the `=`, or null for no text.")
    if value == "null":
        return None
    quoted = QUOTED.fullmatch(value)
    return expand_home(quoted[2] if quoted else value)


def _by_grammar(value: str, text: str, *, is_known: bool) -> Any:
    """The value by Hydra's grammar; the value of an unknown setting may have any form."""
    try:
        override = OverridesParser.create().parse_override(f"key={value}")
        if override.type is OverrideType.CHANGE and not override.is_sweep_override():
            return override.value()
        error = None
    except HydraException as exception:
        error = exception
    if not is_known:
        return value
    raise InputError(
        f"{text!r} cannot be read. Write key=value with a number, true, false, null, a list [1,2] "
        f"or a mapping {{a:1}}. In a list or mapping, put texts in quotes, such as "
        f"[{{path:'a (b)'}}]."
    ) from error


def fitting(key: str, value: Any) -> Any:
    """A whole number for a setting that is a whole number: 1e3 is read as 1000.0."""
    is_whole = isinstance(value, float) and value.is_integer() and setting_type(key) is int
    return int(value) if is_whole else value
