"""The space of a sweep: which settings vary, and how.

    training.lr: {log: [1e-4, 1e-2]}                  log-uniform; {log: [..], points: 4} in a grid
    training.weight_decay: {uniform: [0, 0.1]}        also with points
    method.inner_epochs: {int: [1, 8], step: 1}
    method.divergence: {choice: [jsd, reverse_kl]}
    method.parameters.beta: {uniform: [0.1, 0.9], if: {method.divergence: jsd}}

A setting with `if` varies only in trials in which a choice above it has this value (or one of a
list of values).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from optuna.trial import Trial

from minillm.errors import InputError, unknown_name

KINDS = ("log", "uniform", "int", "choice")
OPTIONS = (*KINDS, "step", "points", "if")
Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Dimension:
    """One setting that varies.

    Attributes:
        key: the setting, such as `training.lr`, or a group, such as `method`.
        kind: one of `KINDS`.
        values: lower and upper bound, or all values of a choice.
        step: distance of neighbouring values of `int`.
        points: number of values in a grid; None if a grid cannot have this setting.
        condition: the values of other choices with which the setting varies.
    """

    key: str
    kind: str
    values: tuple[Scalar, ...]
    step: int
    points: int | None
    condition: dict[str, tuple[Scalar, ...]]

    def varies(self, others: Mapping[str, Scalar]) -> bool:
        """Whether the setting varies in a trial with these values of other settings."""
        return all(key in others and others[key] in allowed
                   for key, allowed in self.condition.items())  # fmt: skip

    def suggest(self, trial: Trial) -> Scalar:
        """The value of a trial, chosen by the sampler of its study."""
        if self.kind == "choice":
            return trial.suggest_categorical(self.key, self.values)
        low, high = self.values
        if self.kind == "int":
            return trial.suggest_int(self.key, low, high, step=self.step)
        return trial.suggest_float(self.key, low, high, log=self.kind == "log")

    def grid(self) -> list[Scalar]:
        """The values of a grid, in order.

        Raises:
            InputError: a range of real numbers has no `points`.
        """
        if self.kind == "choice":
            return list(self.values)
        low, high = self.values
        if self.kind == "int":
            return list(range(low, high + 1, self.step))
        if self.points is None:
            raise InputError(
                f"space.{self.key} has no points, so it cannot be a part of a grid. Write "
                f"{{{self.kind}: [{low}, {high}], points: 4}} or {{choice: [...]}}, or select "
                f"another sweep.sampler."
            )
        shares = [i / max(self.points - 1, 1) for i in range(self.points)]
        if self.kind == "uniform":
            return [low + share * (high - low) for share in shares]
        # Four digits are enough, and the names of runs are easier to read.
        return [float(f"{low * (high / low) ** share:.4g}") for share in shares]


def read_space(space: Mapping[str, Any]) -> list[Dimension]:
    """The dimensions of a space.

    Raises:
        InputError: an entry has another form. The message names the entry.
    """
    if not space:
        raise InputError(
            "the sweep varies no setting. Give sweep=NAME with a `space`, or values separated by "
            "commas, such as training.lr=1e-3,2e-3."
        )
    dimensions: list[Dimension] = []
    for key, entry in space.items():
        dimensions.append(_dimension(key, entry, dimensions))
    return dimensions


def _dimension(key: str, entry: Any, above: Sequence[Dimension]) -> Dimension:
    if not isinstance(entry, Mapping) or sum(kind in entry for kind in KINDS) != 1:
        raise InputError(
            f"space.{key}={entry} is not allowed: give exactly one of {', '.join(KINDS)}, such as "
            f"{{log: [1e-4, 1e-2]}} or {{choice: [1, 2]}}."
        )
    for option in entry:
        if option not in OPTIONS:
            raise unknown_name(f"option of space.{key}", str(option), OPTIONS)
    kind = next(kind for kind in KINDS if kind in entry)
    values = _values(key, kind, entry[kind])
    for option in ("step", "points"):
        value = entry.get(option, 1)
        if type(value) is not int or value < 1:
            raise InputError(f"space.{key}.{option}={value} is not allowed: it must be an integer, "
                             f"1 or more.")  # fmt: skip
    return Dimension(key, kind, values, entry.get("step", 1), entry.get("points"),
                     _condition(key, entry.get("if") or {}, above))  # fmt: skip


def _values(key: str, kind: str, values: Any) -> tuple[Scalar, ...]:
    if kind == "choice":
        is_list = isinstance(values, list) and all(_is_scalar(value) for value in values)
        if is_list and len(set(map(repr, values))) == len(values) > 0:
            return tuple(values)
        raise InputError(
            f"space.{key}.choice={values} is not allowed: give a list of different texts, numbers, "
            f"true, false or null. A list as a value is written as a text, such as '[0.9,0.95]'."
        )
    numbers = int if kind == "int" else (int, float)
    is_range = (
        isinstance(values, list) and len(values) == 2
        and all(isinstance(x, numbers) and not isinstance(x, bool) and math.isfinite(x)
                for x in values)
        and values[0] < values[1] and (kind != "log" or values[0] > 0)
    )  # fmt: skip
    if not is_range:
        words = {"int": "two integers", "log": "two numbers above 0"}.get(kind, "two numbers")
        raise InputError(
            f"space.{key}.{kind}={values} is not allowed: give {words} [LOW, HIGH] with LOW below "
            f"HIGH."
        )
    return tuple(values if kind == "int" else map(float, values))


def _condition(
    key: str, condition: Any, above: Sequence[Dimension]
) -> dict[str, tuple[Scalar, ...]]:
    choices = {one.key: one.values for one in above if one.kind == "choice"}
    if not isinstance(condition, Mapping):
        raise InputError(f"space.{key}.if={condition} is not allowed: give {{KEY: VALUE}}.")
    allowed = {}
    for other, value in condition.items():
        wanted = tuple(value) if isinstance(value, list) else (value,)
        if other not in choices or not set(wanted) <= set(choices[other]):
            raise InputError(
                f"space.{key}.if={{{other}: {value}}} is not allowed: it must name a choice that "
                f"stands above {key} in the space, and values of this choice. "
                f"{_choices_text(choices)}"
            )
        allowed[other] = wanted
    return allowed


def _choices_text(choices: Mapping[str, tuple[Scalar, ...]]) -> str:
    if not choices:
        return "There is no choice above it."
    return f"Choices: {'; '.join(f'{key}: {list(values)}' for key, values in choices.items())}."


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def suggest(space: Sequence[Dimension], trial: Trial) -> dict[str, Scalar]:
    """The values of a trial. Values that the trial already has stay the same."""
    values: dict[str, Scalar] = {}
    for dimension in space:
        if dimension.varies(values):
            values[dimension.key] = dimension.suggest(trial)
    return values


def grid_points(space: Sequence[Dimension]) -> list[dict[str, Scalar]]:
    """All points of the grid. The last setting varies fastest.

    A point does not occur again for the values of a setting that does not vary there.

    Raises:
        InputError: a range of real numbers has no `points`.
    """
    points: dict[str, dict[str, Scalar]] = {}
    for combination in product(*(dimension.grid() for dimension in space)):
        point: dict[str, Scalar] = {}
        for dimension, value in zip(space, combination, strict=True):
            if dimension.varies(point):
                point[dimension.key] = value
        points.setdefault(repr(point), point)
    return list(points.values())


def extreme_points(space: Sequence[Dimension]) -> Iterator[tuple[str, dict[str, Scalar]]]:
    """For every value of a choice and every bound of a range: its setting, and a point with it.

    Other settings have their first value, or the first value with which the setting varies.
    """
    for dimension in space:
        for value in dimension.values:
            wanted = {key: allowed[0] for key, allowed in _needed(dimension, space).items()}
            wanted[dimension.key] = value
            point: dict[str, Scalar] = {}
            for other in space:
                if other.varies(point):
                    point[other.key] = wanted.get(other.key, other.values[0])
            yield dimension.key, point


def _needed(dimension: Dimension, space: Sequence[Dimension]) -> dict[str, tuple[Scalar, ...]]:
    """The conditions of a setting, and those of the choices that it depends on."""
    needed = dict(dimension.condition)
    for key in dimension.condition:
        needed = _needed(next(one for one in space if one.key == key), space) | needed
    return needed


def word(key: str, value: Any) -> str:
    """A setting as a word of the command line, such as `training.lr=0.001`."""
    return f"{key}={_text(value)}"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_text(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_text, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
