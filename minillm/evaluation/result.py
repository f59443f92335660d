"""The result of one model on one data set, and its file.

This page lists the keys of a result file. Format 2 is a json object:

    format, data, method, model, parameters, inputs, seeds, temperature, wall_seconds
    metrics     by name: null for a metric that could not be computed, or an object with
        mean, std             over sampling seeds; std is null for a single seed
        ci_low, ci_high       95% bootstrap interval over inputs
        per_seed              mean of each sampling seed
        greedy                mean of greedy decoding, or null
        per_input, weights    of each input, averaged over sampling seeds; null for equal weights
        greedy_per_input      of greedy decoding; only for metrics with equal weights (optional)
    training    seconds, steps, best_step and seed of the run, and its config: the sections student,
                teacher, method and training of its settings (optional); or null
    run         name, and history: the scores of each validation; or null
    provenance, config        how the result was made
    frontier    quality and diversity over temperatures, see `frontier.py` (optional)
    exposure_bias       by length of response, see `exposure.py` (optional)
    judge       how a language model has judged the responses, see `judging/record.py` (optional;
                the scores are the metric `judge`)
    seen_in_training    number of inputs of the whole test split that occur in the training data of
                        the run (optional)

Format 1 can be read too. It has all values of ROUGE-L and only the means of the other metrics.
Unknown keys at the top level are preserved.
"""

import re
from dataclasses import asdict, dataclass, field
from json import dumps
from types import NoneType
from typing import Any

from minillm.errors import InputError
from minillm.evaluation.exposure import ExposureBias, read_exposure_bias
from minillm.evaluation.frontier import Frontier, read_frontier
from minillm.evaluation.result_checks import MAYBE, NUMBER, check_keys, check_numbers

FORMAT = 2
ROUGE_L = "rougeL"
# The allowed types of dotted keys. Keys below an object that is null are not checked.
_COMMON = {
    "data": (str,),
    "inputs": (int,),
    "method": (str,),
    "model": (str,),
    "parameters": MAYBE,
    "training": (dict, NoneType),
    "training.seconds": MAYBE,
    "training.seed": (int, NoneType),
    "run": (dict, NoneType),
    "run.name": (str,),
    "run.history": (list,),
    "seeds": (list,),
    "temperature": NUMBER,
    "wall_seconds": NUMBER,
    "provenance": (dict,),
    "config": (dict, NoneType),
}
_FORMAT_1 = {
    "rougeL": (dict,),
    "rougeL.mean": NUMBER,
    "rougeL.std": MAYBE,
    "rougeL.ci_low": NUMBER,
    "rougeL.ci_high": NUMBER,
    "greedy": (dict, NoneType),
    "greedy.rougeL": NUMBER,
    "length": MAYBE,
    "empty": MAYBE,
    "unfinished": MAYBE,
    "reverse_kl": MAYBE,
    "per_input": (list,),
}
_METRIC = {
    "mean": NUMBER,
    "std": MAYBE,
    "ci_low": MAYBE,
    "ci_high": MAYBE,
    "per_seed": (dict,),
    "greedy": MAYBE,
    "per_input": (list, NoneType),
    "weights": (list, NoneType),
}
_NUMBER_LIST = re.compile(r"\[\n[-+.\deE,\s]+\]")


@dataclass(frozen=True)
class MetricResult:
    """One metric of a result. The docstring of this file explains the fields.

    `ci_low`, `ci_high` and `per_input` are None, and `per_seed` is empty, if a file of format 1 has
    only the mean.
    """

    mean: float
    std: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    per_seed: dict[str, float] = field(default_factory=dict)
    greedy: float | None = None
    per_input: list[float] | None = None
    weights: list[float] | None = None
    greedy_per_input: list[float] | None = None


@dataclass(frozen=True)
class Training:
    """The run that trained the model: all its seconds and steps, step of the checkpoint, seed.

    `config` has the sections student, teacher, method and training of its settings. Older files
    have no section training, or no config (None).
    """

    seconds: float | None
    seed: int | None
    steps: int | None = None
    best_step: int | None = None
    config: dict[str, Any] | None = None


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
    frontier: Frontier | None = None
    exposure_bias: ExposureBias | None = None
    seen_in_training: int | None = None
    unknown_keys: dict[str, Any] = field(default_factory=dict)

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
        for name in ("frontier", "exposure_bias", "seen_in_training"):
            if getattr(self, name) is None:
                del content[name]
        if self.training and self.training.config is None:
            del content["training"]["config"]
        for values in filter(None, content["metrics"].values()):
            if values["greedy_per_input"] is None:
                del values["greedy_per_input"]
        return content | content.pop("unknown_keys")

    @staticmethod
    def from_json(content: Any, where: str) -> "Result":
        """The result that a file of format 1 or 2 holds.

        Args:
            content: the value that `json.loads` returns.
            where: the file, and the entry in it, for messages.

        Raises:
            InputError: the content is not a result, its format is unknown, a key is missing, or the
                value of a key is not allowed.
        """
        if not isinstance(content, dict) or "format" not in content:
            raise InputError(
                f"{where} is not a result: there is no key 'format'. Give files that `minillm "
                f"evaluate` wrote."
            )
        formats = {1: _metrics_of_format_1, FORMAT: _metrics_of_format_2}
        if content["format"] not in formats:
            raise InputError(
                f"{where}: format {content['format']!r} is unknown. Allowed: "
                f"{' or '.join(map(str, formats))}. Evaluate again with this version."
            )
        check_keys(content, _COMMON, where)
        rest = dict(content)
        metrics = formats[rest.pop("format")](rest, where)
        training, run = rest.pop("training"), _read_run(rest.pop("run"), where)
        if training is not None:
            training = {"config": None} | training
            check_keys(training, {"config": (dict, NoneType)}, where, prefix="training.")
            values = {name: training.get(name) for name in Training.__dataclass_fields__}
            training = Training(**values)
        plain = {name: rest.pop(name) for name in _COMMON if name in rest}
        frontier = read_frontier(rest.pop("frontier", None), plain["inputs"], where)
        bias = read_exposure_bias(rest.pop("exposure_bias", None), where)
        return Result(**plain, metrics=metrics, training=training, run=run, frontier=frontier,
                      exposure_bias=bias, seen_in_training=rest.pop("seen_in_training", None),
                      unknown_keys=rest)  # fmt: skip


def to_text(content: Any) -> str:
    """Indented json, where a list of numbers takes one line, for readable diffs."""
    text = dumps(content, indent=1, ensure_ascii=False)
    # Line breaks inside texts are escaped, so the pattern matches no text.
    return _NUMBER_LIST.sub(lambda match: " ".join(match[0].split()), text) + "\n"


def _metrics_of_format_2(content: dict, where: str) -> dict[str, MetricResult | None]:
    """Check the metrics and remove them from `content`."""
    check_keys(content, {"metrics": (dict,)}, where)
    metrics = {}
    for name, values in content.pop("metrics").items():
        key = f"metrics.{name}"
        check_keys({key: values}, {key: (dict, NoneType)}, where, nested=False)
        if values is None:
            metrics[name] = None
            continue
        check_keys(values, _METRIC, where, prefix=f"{key}.")
        values = {"greedy_per_input": None} | values
        for part in ("per_input", "weights", "greedy_per_input"):
            if values[part] is not None:
                check_numbers(values[part], f"{key}.{part}", where)
        counts = [len(values[part]) for part in ("per_input", "weights") if values[part]]
        if len(set(counts)) > 1:
            raise InputError(
                f"{where}: key '{key}.weights' has {counts[1]} numbers, but 'per_input' has "
                f"{counts[0]}. Evaluate again to write both."
            )
        parts = (*_METRIC, "greedy_per_input")
        metrics[name] = MetricResult(**{part: values[part] for part in parts})
    return metrics


def _metrics_of_format_1(content: dict, where: str) -> dict[str, MetricResult | None]:
    """Check the metrics and remove them from `content`."""
    check_keys(content, _FORMAT_1, where)
    values = {key: content.pop(key) for key in _FORMAT_1 if "." not in key}
    check_numbers(values["per_input"], "per_input", where)
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
            f"{where}: an entry of 'run.history' has no 'step'. Evaluate the run again."
        )
    return Run(run["name"], run["history"])
