"""The frontier of a model: its quality and its diversity at several temperatures.

Reverse KL makes a student sharper, and so does a lower sampling temperature. So a better score at
temperature 1 alone does not show that a method is better. The frontier shows the score at every
diversity (Caccia et al., 2020, arXiv 1811.02549).

In a result file, a frontier is an object:

    samples     responses to each prompt at each point
    points      a list, greedy decoding (temperature 0) first, with
        temperature, top_p    how the responses were sampled
        values                by name; null for a value that cannot be computed, or an object with
            mean                  over all responses
            per_input             one number for each input, with 3 digits; null if all inputs have
                                  the mean, and for values that are not in `WITH_INPUTS`
            weights               name of the value that weighs the inputs; null for equal weights

The names of the values are those of metrics, and those of `MEASURES`. Only the values in
`WITH_INPUTS` have intervals and can be compared, because both need the values of the inputs. Older
files have values of inputs of other names, which are not read, and may lack those of self-BLEU.
This file imports neither torch nor transformers, because a report needs neither.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minillm.errors import InputError
from minillm.evaluation.result_checks import NUMBER, check_keys, check_numbers
from minillm.evaluation.statistics import weighted_mean

DIVERSITY = "diversity"
NGRAMS = "ngrams"
SELF_BLEU = "self_bleu"
ENTROPY = "entropy"
FORWARD_KL = "forward_kl"
REVERSE_KL = "reverse_kl"
LENGTH = "length"
# The values whose numbers of each input are in a file: diversities, qualities, and their weights.
WITH_INPUTS = (DIVERSITY, NGRAMS, "rougeL", REVERSE_KL, LENGTH, SELF_BLEU)
_DIGITS = 3  # of the values of inputs in a file: intervals need no more, and files stay small


@dataclass(frozen=True)
class Measure:
    """Name, unit and format of a value of the frontier that is not a metric of single responses."""

    label: str
    unit: str
    description: str
    form: str


MEASURES = {
    DIVERSITY: Measure(
        "diversity", "share", "share of distinct 4-grams of words among those of the responses to "
        "one prompt", ".3f",
    ),
    SELF_BLEU: Measure(
        "self-BLEU", "0 to 100", "BLEU-4 of a response against the other responses to the prompt",
        ".1f",
    ),
    ENTROPY: Measure(
        "entropy", "nats per token", "entropy of the sampled distribution, nats per token", ".3f"
    ),
    REVERSE_KL: Measure(
        "reverse KL", "nats per token", "KL[q‖p] of the sampled distribution q from the teacher p "
        "at temperature 1, nats per token", ".3f",
    ),
    FORWARD_KL: Measure(
        "forward KL", "nats per token", "KL[p‖q] along the same responses, nats per token", ".3f"
    ),
}  # fmt: skip


@dataclass(frozen=True)
class PointValue:
    """One value of a point. The docstring of this file explains the fields."""

    mean: float
    per_input: list[float] | None = None
    weights: str | None = None


@dataclass(frozen=True)
class FrontierPoint:
    """The values of the responses that were sampled in one way. Temperature 0 is greedy."""

    temperature: float
    top_p: float
    values: dict[str, PointValue | None]

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0

    def mean(self, name: str) -> float | None:
        value = self.values.get(name)
        return value and value.mean

    def array(self, name: str, inputs: int) -> np.ndarray:
        """The values of the inputs, float64 `[N]`; of a name in `WITH_INPUTS`."""
        if name not in WITH_INPUTS:
            raise ValueError(f"a frontier has only the mean of {name}, and no values of the inputs")
        value = self.values[name]
        if value.per_input is None:
            return np.full(inputs, float(value.mean))
        return np.array(value.per_input, dtype=np.float64)

    def weights(self, name: str, inputs: int) -> np.ndarray | None:
        """The weights of the inputs `[N]`, or None for equal weights."""
        weights = self.values[name].weights
        return None if weights is None else self.array(weights, inputs)


@dataclass(frozen=True)
class Frontier:
    """The points of a model, greedy decoding first, and the responses per prompt at each point."""

    samples: int
    points: list[FrontierPoint]


def point_value(
    per_input: np.ndarray, weights: np.ndarray | None = None, weights_name: str | None = None
) -> PointValue:
    """The mean and the rounded values of N inputs.

    Args:
        per_input: `[N]`.
        weights: `[N]`, or None for equal weights.
        weights_name: the value of the same point that holds the weights, if there are any.
    """
    weights_name = None if weights is None else weights_name
    mean = float(weighted_mean(per_input, weights))
    if np.ptp(per_input) == 0:
        return PointValue(mean if weights is None else float(per_input[0]), None, weights_name)
    return PointValue(mean, [_short(value) for value in per_input.tolist()], weights_name)


def stored(values: Mapping[str, PointValue | None]) -> dict[str, PointValue | None]:
    """The values of a point as a file has them: only names in `WITH_INPUTS` have `per_input`."""
    return {
        name: value if value is None or name in WITH_INPUTS else replace(value, per_input=None)
        for name, value in values.items()
    }


def _short(value: float) -> float | int:
    """A number with 3 digits; an integer without a decimal point."""
    rounded = float(f"{value:.{_DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded


def read_frontier(content: Any, inputs: int, where: str) -> Frontier | None:
    """The frontier in a result file; None if the file has none.

    Args:
        content: the value of the key `frontier`, or None.
        inputs: N, the number of inputs of the result.
        where: the file, for messages.

    Raises:
        InputError: a key is missing, or its value is not allowed.
    """
    if content is None:
        return None
    check_keys({"frontier": content}, {"frontier": (dict,)}, where)
    kinds = {"samples": (int,), "points": (list,)}
    check_keys(content, kinds, where, prefix="frontier.")
    points = content["points"]
    read = [_read_point(point, inputs, f"frontier.points[{i}]", where)
            for i, point in enumerate(points)]  # fmt: skip
    if content["samples"] < 2 or not read:
        raise InputError(
            f"{where}: key 'frontier' has {content['samples']} samples and {len(read)} points, but "
            f"needs at least 2 samples and 1 point. Evaluate again."
        )
    return Frontier(content["samples"], read)


def _read_point(content: Any, inputs: int, key: str, where: str) -> FrontierPoint:
    check_keys({key: content}, {key: (dict,)}, where, nested=False)
    kinds = {"temperature": NUMBER, "top_p": NUMBER, "values": (dict,)}
    check_keys(content, kinds, where, prefix=f"{key}.")
    values = {}
    for name, value in content["values"].items():
        values_key = f"{key}.values.{name}"
        check_keys({values_key: value}, {values_key: (dict, type(None))}, where, nested=False)
        values[name] = value and _read_value(value, inputs, values_key, where)
    missing = {value.weights for value in values.values() if value and value.weights} - {
        name for name, value in values.items() if value
    }
    if missing or values.get(DIVERSITY) is None:
        absent = ", ".join(sorted(missing)) or DIVERSITY
        raise InputError(f"{where}: {key}.values lacks {absent}. Evaluate again.")
    return FrontierPoint(content["temperature"], content["top_p"], stored(values))


def _read_value(content: dict, inputs: int, key: str, where: str) -> PointValue:
    kinds = {"mean": NUMBER, "per_input": (list, type(None)), "weights": (str, type(None))}
    check_keys(content, kinds, where, prefix=f"{key}.")
    per_input = content["per_input"]
    if per_input is not None:
        check_numbers(per_input, f"{key}.per_input", where)
        if len(per_input) != inputs:
            raise InputError(
                f"{where}: key '{key}.per_input' has {len(per_input)} numbers, but there are "
                f"{inputs} inputs. Evaluate again."
            )
        per_input = [_short(number) for number in per_input]
    return PointValue(content["mean"], per_input, content["weights"])


def greedy_first(points: Sequence[FrontierPoint]) -> list[FrontierPoint]:
    """The points by temperature; points with top-p are last."""
    return sorted(points, key=lambda point: (point.top_p < 1, point.temperature, point.top_p))
