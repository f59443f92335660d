"""Checks of the keys of result files."""

from collections.abc import Mapping
from types import NoneType
from typing import Any

from minillm.errors import InputError

NUMBER = (int, float)
MAYBE = (*NUMBER, NoneType)
KIND_NAMES = {str: "text", int: "a number", float: "a number", dict: "an object", list: "a list",
              NoneType: "null"}  # fmt: skip


def check_keys(
    content: Mapping[str, Any],
    keys: Mapping[str, tuple[type, ...]],
    where: str,
    prefix: str = "",
    nested: bool = True,
) -> None:
    """Refuse an object that lacks a key, or has a value of a type that is not allowed."""
    for key, kinds in keys.items():
        parent, _, name = key.rpartition(".") if nested else ("", "", key)
        holder = content[parent] if parent else content
        if holder is None:  # an optional object that is null
            continue
        if name not in holder:
            raise InputError(
                f"{where}: key {prefix + key!r} is missing. Evaluate again to write it."
            )
        value = holder[name]
        if isinstance(value, bool) or not isinstance(value, kinds):
            allowed = " or ".join(dict.fromkeys(KIND_NAMES[kind] for kind in kinds))
            raise InputError(
                f"{where}: key {prefix + key!r} is {value!r}, but must be {allowed}. Evaluate "
                f"again."
            )


def check_numbers(values: list, key: str, where: str) -> None:
    if not values or not all(isinstance(value, NUMBER) for value in values):
        raise InputError(
            f"{where}: key {key!r} must hold one number for each input. Evaluate again."
        )
