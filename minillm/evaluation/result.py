"""The result of one model on one data set, and its file.

`Result` is the only place that knows the keys of a result file. Format 2, a json object:

    format, data, method, model, parameters, inputs, seeds, temperature, wall_seconds
    metrics     by name: null for a metric that could not be computed, or
        mean, std             over sampling seeds; std is null for a single seed
        ci_low, ci_high       95% bootstrap interval over inputs
        per_seed              mean of each sampling seed
        greedy                mean of greedy decoding, or null
        per_input, weights    of each input, averaged over sampling seeds; weights null: all alike
    training    seconds, steps, best_step and seed of the run, or null
    run         name, and history: the scores of each validation; or null
    provenance, config        how the result was made

Format 1 is read too: it has ROUGE-L in full and only the means of the other metrics. Top-level keys
that are not known are kept and written again.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from json import dumps
from types import NoneType
from typing import Any

from minillm.errors import InputError

FORMAT = 2
ROUGE_L = "rougeL"
_NUMBER = (int, float)
_MAYBE = (*_NUMBER, NoneType)
# Dotted keys with what they may hold. Keys below an object that is null are not looked for.
_COMMON = {
    "data": (str,),
    "inputs": (int,),
    "method": (str,),
    "model": (str,),
    "parameters": _MAYBE,
    "training": (dict, NoneType),
    "training.seconds": _MAYBE,
    "training.seed": (int, NoneType),
    "run": (dict, NoneType),
    "run.name": (str,),
    "run.history": (list,),
    "seeds": (list,),
    "temperature": _NUMBER,
    "wall_seconds": _NUMBER,
    "provenance": (dict,),
    "config": (dict, NoneType),
}
_FORMAT_1 = {
    "rougeL": (dict,),
    "rougeL.mean": _NUMBER,
    "rougeL.std": _MAYBE,
    "rougeL.ci_low": _NUMBER,
    "rougeL.ci_high": _NUMBER,
    "greedy": (dict, NoneType),
    "greedy.rougeL": _NUMBER,
    "length": _MAYBE,
    "empty": _MAYBE,
    "unfinished": _MAYBE,
    "reverse_kl": _MAYBE,
    "per_input": (list,),
}
_METRIC = {
    "mean": _NUMBER,
    "std": _MAYBE,
    "ci_low": _MAYBE,
    "ci_high": _MAYBE,
    "per_seed": (dict,),
    "greedy": _MAYBE,
    "per_input": (list, NoneType),
    "weights": (list, NoneType),
}
_KIND_NAMES = {str: "text", int: "a number", float: "a number", dict: "an object", list: "a list",
               NoneType: "null"}  # fmt: skip
_NUMBER_LIST = re.compile(r"\[\n[-+.\deE,\s]+\]")


@dataclass(frozen=True)
class MetricResult:
    """What a result says about one metric; the docstring of this file says what each field holds.

    `ci_low`, `ci_high` and `per_input` are None, and `per_seed` is empty, where a file of format 1
    has the mean alone.
    """

    mean: float
    std: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    per_seed: dict[str, float] = field(default_factory=dict)
    greedy: float | None = None
    per_input: list[float] | None = None
    weights: list[float] | None = None


@dataclass(frozen=True)
class Training:
    """The run that trained the model: seconds and steps in all, step of the checkpoint, seed."""

    seconds: float | None
    seed: int | None
    steps: int | None = None
    best_step: int | None = None


@dataclass(frozen=True)
class Run:
    """Name of the run, and the scores of its validations with `step` and `seconds`."""

    name: str
    history: list[dict[str, float]]


@dataclass(frozen=True)
class Result:
    """One model on one data set."""

    data: str
    method: str
    model: str
    parameters: int | None
    inputs: int
    seeds: list[int]
    temperature: float
    metrics: dict[str, MetricResult | None]
    training: Training | None
    run: Run | None
    wall_seconds: float
    provenance: dict[str, Any]
    config: dict[str, Any] | None
    others: dict[str, Any] = field(default_factory=dict)  # keys that are not known here

    def metric(self, name: str) -> MetricResult | None:
        """The named metric, or None where the result lacks it."""
        return self.metrics.get(name)

    @property
    def training_seed(self) -> int | None:
        return self.training.seed if self.training else None

    @property
    def run_name(self) -> str | None:
        return self.run.name if self.run else None

    def to_json(self) -> dict[str, Any]:
        """The result as the object of a file of format 2."""
        content = {"format": FORMAT} | asdict(self)
        return content | content.pop("others")

    @staticmethod
    def from_json(content: Any, where: str) -> "Result":
        """The result that a file of format 1 or 2 holds.

        Args:
            content: as `json.loads` gives it.
            where: the file, and the entry in it, for messages.

        Raises:
            InputError: the content is no result, its format is unknown, a key is missing, or a key
                holds something else than it may.
        """
        if not isinstance(content, dict) or "format" not in content:
            raise InputError(
                f"{where}: no result, for it has no key 'format'; give files that `evaluate` wrote"
            )
        formats = {1: _metrics_of_format_1, FORMAT: _metrics_of_format_2}
        if content["format"] not in formats:
            raise InputError(
                f"{where}: format {content['format']!r} is unknown, "
                f"{' or '.join(map(str, formats))} is allowed; evaluate again with this version"
            )
        _check_keys(content, _COMMON, where)
        rest = dict(content)
        metrics = formats[rest.pop("format")](rest, where)
        training, run = rest.pop("training"), _read_run(rest.pop("run"), where)
        if training is not None:
            known = {name: training.get(name) for name in Training.__dataclass_fields__}
            training = Training(**known)
        plain = {name: rest.pop(name) for name in _COMMON if name in rest}
        return Result(**plain, metrics=metrics, training=training, run=run, others=rest)


def to_text(content: Any) -> str:
    """Json with indents for readable diffs; a list of numbers takes one line."""
    text = dumps(content, indent=1, ensure_ascii=False)
    # Line breaks inside texts are escaped, so the pattern matches no text.
    return _NUMBER_LIST.sub(lambda match: " ".join(match[0].split()), text) + "\n"


def _metrics_of_format_2(content: dict, where: str) -> dict[str, MetricResult | None]:
    """Check and take the metrics out of `content`."""
    _check_keys(content, {"metrics": (dict,)}, where)
    metrics = {}
    for name, values in content.pop("metrics").items():
        key = f"metrics.{name}"
        _check_keys({key: values}, {key: (dict, NoneType)}, where, nested=False)
        if values is None:
            metrics[name] = None
            continue
        _check_keys(values, _METRIC, where, prefix=f"{key}.")
        for part in ("per_input", "weights"):
            if values[part] is not None:
                _check_numbers(values[part], f"{key}.{part}", where)
        counts = [len(values[part]) for part in ("per_input", "weights") if values[part]]
        if len(set(counts)) > 1:
            raise InputError(
                f"{where}: key '{key}.weights' has {counts[1]} numbers for the {counts[0]} of "
                f"'per_input'; evaluate again to write both"
            )
        metrics[name] = MetricResult(**{part: values[part] for part in _METRIC})
    return metrics


def _metrics_of_format_1(content: dict, where: str) -> dict[str, MetricResult | None]:
    """Check and take the metrics out of `content`."""
    _check_keys(content, _FORMAT_1, where)
    values = {key: content.pop(key) for key in _FORMAT_1 if "." not in key}
    _check_numbers(values["per_input"], "per_input", where)
    rouge, greedy = values["rougeL"], values["greedy"] or {}
    parts = {part: rouge[part] for part in ("mean", "std", "ci_low", "ci_high")}
    metrics = {
        ROUGE_L: MetricResult(
            **parts,
            per_seed=rouge.get("per_seed") or {},
            greedy=greedy.get("rougeL"),
            per_input=values["per_input"],
        )
    }
    for name in ("length", "unfinished", "empty", "reverse_kl"):
        mean = values[name]
        metrics[name] = None if mean is None else MetricResult(mean, greedy=greedy.get(name))
    return metrics


def _read_run(run: dict | None, where: str) -> Run | None:
    if run is None:
        return None
    if not all(isinstance(point, dict) and "step" in point for point in run["history"]):
        raise InputError(
            f"{where}: a point of 'run.history' lacks a 'step'; evaluate the run again"
        )
    return Run(run["name"], run["history"])


def _check_keys(
    content: Mapping[str, Any],
    keys: Mapping[str, tuple[type, ...]],
    where: str,
    prefix: str = "",
    nested: bool = True,
) -> None:
    """Refuse an object that lacks a key, or holds another kind of value than is allowed."""
    for key, kinds in keys.items():
        parent, _, name = key.rpartition(".") if nested else ("", "", key)
        holder = content[parent] if parent else content
        if holder is None:  # an optional object that is null
            continue
        if name not in holder:
            raise InputError(
                f"{where}: key {prefix + key!r} is missing; evaluate again to write it"
            )
        if isinstance(holder[name], bool) or not isinstance(holder[name], kinds):
            allowed = " or ".join(dict.fromkeys(_KIND_NAMES[kind] for kind in kinds))
            raise InputError(
                f"{where}: key {prefix + key!r} is {holder[name]!r}; {allowed} is allowed"
            )


def _check_numbers(values: list, key: str, where: str) -> None:
    if not values or not all(isinstance(value, _NUMBER) for value in values):
        raise InputError(f"{where}: key {key!r} must hold one number for each input")
