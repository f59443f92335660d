"""The rules of a setting, written beside its field, and functions that check these rules.

    lr: float = setting(5e-6, above=0)
    schedule: str = setting("constant", choices=("constant", "linear", "cosine"))

`check_rules` applies the rules of every field of a `Config`. Rules about several settings are in
`config_checks.py`.
"""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields, is_dataclass, replace
from math import isfinite
from typing import Any

from minillm.errors import InputError, unknown_name

RULES = "rules"  # the key in a field's metadata


@dataclass(frozen=True)
class Rules:
    """The rules of a setting. They apply to every member of a list and to every key of a dict.

    A setting that is null is not checked.

    Attributes:
        at_least, above: the lower bound, which is allowed (`at_least`) or not (`above`).
        at_most, below: the upper bound, which is allowed (`at_most`) or not (`below`).
        choices: all allowed words.
        not_empty: whether a list needs at least one member.
        multiple_of_processes: whether the number must be a multiple of the number of processes.
        may_change: whether a run may continue with another value, because the value alters no
            result. For a section, this applies to all settings in it.
        only_with: the name of another setting in the same section, or `name=value`; several are
            joined by ` or `. The setting is used only if one of them is set (not null, empty, 0 or
            false) or has this value.
        not_with: conditions like those of `only_with`. If one of them holds, the setting is not
            used.
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    choices: tuple[str, ...] | None = None
    not_empty: bool = False
    multiple_of_processes: bool = False
    may_change: bool = False
    only_with: str | None = None
    not_with: str | None = None

    @property
    def range(self) -> str | None:
        """The allowed numbers in words, such as `above 0 and at most 1`; None: all numbers."""
        if self.at_least is not None and self.at_most is not None:
            return f"from {self.at_least} to {self.at_most}"
        bounds = {
            "{} or more": self.at_least,
            "above {}": self.above,
            "at most {}": self.at_most,
            "below {}": self.below,
        }
        texts = [text.format(bound) for text, bound in bounds.items() if bound is not None]
        return " and ".join(texts) or None

    def allows(self, number: float) -> bool:
        """Whether a number is finite and in the range."""
        return (
            isfinite(number)
            and (self.at_least is None or number >= self.at_least)
            and (self.above is None or number > self.above)
            and (self.at_most is None or number <= self.at_most)
            and (self.below is None or number < self.below)
        )


@dataclass(frozen=True)
class Setting:
    """One setting of a `Config`.

    Attributes:
        key: the dotted name, such as `training.lr`.
        value: the value in this `Config`.
        rules: the rules of its field.
        excluded_by: the condition `not_with` of its rules that holds, such as `kind=embedded`; None
            if none holds.
        is_used: whether the conditions `only_with` and `not_with` of its rules allow its use.
    """

    key: str
    value: Any
    rules: Rules
    excluded_by: str | None
    is_used: bool


def setting(default: Any, **rules: Any) -> Any:
    """A dataclass field with a default (lists, dicts and sections are copied) and its `Rules`."""
    metadata = {RULES: Rules(**rules)}
    if type(default).__hash__ is None:  # the default is mutable
        return field(default_factory=lambda: deepcopy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def settings_of(section: Any, prefix: str = "", may_change: bool = False) -> Iterator[Setting]:
    """Yield every setting of a section and of the sections in it, in order.

    A list of sections is a setting, and so is every field of its members, such as
    `teacher.members[0].weight`.

    Args:
        section: a `Config` or one of its sections.
        prefix: start of the keys, such as `training.`.
        may_change: whether an enclosing section is marked with `may_change`.
    """
    for section_field in fields(section):
        rules = section_field.metadata.get(RULES, Rules())
        rules = replace(rules, may_change=rules.may_change or may_change)
        key, value = prefix + section_field.name, getattr(section, section_field.name)
        if is_dataclass(value):
            yield from settings_of(value, f"{key}.", rules.may_change)
            continue
        excluded_by = _condition_that_holds(section, rules.not_with)
        is_used = not excluded_by and (
            rules.only_with is None or bool(_condition_that_holds(section, rules.only_with))
        )
        yield Setting(key, value, rules, excluded_by, is_used)
        for number, member in enumerate(value if isinstance(value, list) else ()):
            if is_dataclass(member):
                yield from settings_of(member, f"{key}[{number}].", rules.may_change)


def _condition_that_holds(section: Any, conditions: str | None) -> str | None:
    """The first of the conditions `name` or `name=value`, joined by ` or `, that holds, if any."""
    for condition in conditions.split(" or ") if conditions else ():
        name, _, value = condition.partition("=")
        if getattr(section, name) == value if value else getattr(section, name):
            return condition
    return None


def require(condition: bool, key: str, value: Any, allowed: str) -> None:
    """Refuse the value of a setting unless the condition holds.

    Raises:
        InputError: the message names the setting, its value and the allowed values, in words.
    """
    if not condition:
        raise InputError(f"{key}={value} is not allowed: it must be {allowed}.")


def check_rules(config: Any, prefix: str = "") -> None:
    """Refuse a value that the rules of its field do not allow.

    Args:
        config: a `Config` or one section.
        prefix: the start of the keys in the message, such as `judge.`.

    Raises:
        InputError: the message names the setting, its value and the allowed values.
    """
    for each in settings_of(config, prefix):
        rules = each.rules
        if rules.not_empty and each.value is not None:
            require(bool(each.value), each.key, each.value, "a list with at least one member")
        for value in _members(each.value):
            if rules.choices and value not in rules.choices:
                raise unknown_name(each.key, value, rules.choices)
            if rules.range:
                require(rules.allows(value), each.key, value, rules.range)


def check_used(config: Any, keys: Iterable[str]) -> None:
    """Refuse a setting of the command line, one of `keys`, if it has no effect.

    Raises:
        InputError: the message names the setting, and the setting that it needs.
    """
    keys = set(keys)
    for each in settings_of(config):
        # An entry of a mapping is given by a longer key, such as `method.parameters.beta`.
        is_given = each.key in keys or any(key.startswith(f"{each.key}.") for key in keys)
        is_cleared = each.excluded_by is not None and each.value is None
        if not is_given or each.is_used or is_cleared:
            continue
        section = each.key.rpartition(".")[0]
        start = f"{each.key}={each.value} has no effect here: it is"
        if each.excluded_by:
            reason = f"{section}.{each.excluded_by}"
            raise InputError(
                f"{start} not used with {reason}. Leave {each.key} out, or change "
                f"{reason.partition('=')[0]}."
            )
        needed = " or ".join(f"{section}.{x}" for x in each.rules.only_with.split(" or "))
        raise InputError(f"{start} used only with {needed}. Set {needed}, or leave {each.key} out.")


def check_multiples(config: Any, processes: int) -> None:
    """Refuse a size that is not a multiple of the number of processes.

    A process with one more sequence than the others would wait for them forever.

    Raises:
        InputError: the message names the setting, its value and the number of processes.
    """
    for each in settings_of(config):
        if each.rules.multiple_of_processes and each.is_used and each.value % processes:
            raise InputError(
                f"{each.key}={each.value} cannot be divided evenly among {processes} processes. "
                f"Give a multiple of {processes}."
            )


def dotted(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """All entries of nested mappings by dotted keys; a section comes before its settings.

    `{"a": {"b": 1}}` gives `{"a": {"b": 1}, "a.b": 1}`.
    """
    entries: dict[str, Any] = {}
    for name, value in nested.items():
        entries[prefix + name] = value
        if isinstance(value, Mapping):
            entries |= dotted(value, f"{prefix}{name}.")
    return entries


def flatten(nested: Mapping[str, Any]) -> dict[str, Any]:
    """The values of nested mappings by dotted keys: `{"a": {"b": 1}}` gives `{"a.b": 1}`."""
    return {key: value for key, value in dotted(nested).items() if not isinstance(value, Mapping)}


def _members(value: Any) -> list:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple | dict) else [value]
