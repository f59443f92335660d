"""Reads the settings that only one command has, such as those of `minillm prune`.

They are not in `Config`, because no other command uses them.
"""

from collections.abc import Sequence
from typing import Any, TypeVar, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from minillm.errors import InputError, first_line, unknown_name
from minillm.settings.overrides import parse_override
from minillm.settings.rules import check_rules
from minillm.settings.types import without_none

T = TypeVar("T")


def read_section(schema: type[T], words: Sequence[str], page: str, prefix: str = "") -> T:
    """The settings of a command, checked by the rules of their fields.

    Args:
        schema: the dataclass of the settings.
        words: `key=value` of the command line.
        page: the page that explains the settings, for messages.
        prefix: the start of all keys, such as `judge.`.

    Raises:
        InputError: a setting is unknown, cannot be read, has the wrong type, or its value is not
            allowed.
    """
    hints = {f"{prefix}{name}": hint for name, hint in get_type_hints(schema).items()}

    def type_of(key: str) -> Any:
        return without_none(hints.get(key))

    settings = OmegaConf.structured(schema)
    for word in words:
        override = parse_override(word, {}, type_of)
        if not any(f"{override.key}.".startswith(f"{key}.") for key in hints):
            raise unknown_name("setting", override.key, hints)
        try:
            OmegaConf.update(settings, override.key.removeprefix(prefix), override.value)
        except OmegaConfBaseException as error:
            raise InputError(
                f"{override.text}: {first_line(error)}. {page} explains the settings."
            ) from error
    settings = OmegaConf.to_object(settings)
    check_rules(settings, prefix)
    return settings
