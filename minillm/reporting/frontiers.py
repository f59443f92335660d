"""The frontier of a group: its points averaged over training runs, and its curve."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minillm.evaluation.equal_diversity import Curve
from minillm.evaluation.frontier import DIVERSITY, NGRAMS, WITH_INPUTS, FrontierPoint
from minillm.evaluation.result import Result
from minillm.evaluation.statistics import Interval, bootstrap_intervals, weighted_mean
from minillm.reporting.groups import Group

# Temperature and top-p of a point; (0, 1) is greedy decoding.
Position = tuple[float, float]


@dataclass(frozen=True)
class GroupPoint:
    """A point of a group: means over the responses of all training runs, by the names of values.

    For runs with the same inputs, these are the values of `curve_of`.
    """

    temperature: float
    top_p: float
    values: dict[str, float]

    @property
    def position(self) -> Position:
        return self.temperature, self.top_p

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0

    @property
    def uses_top_p(self) -> bool:
        return self.top_p < 1


def has_frontier(group: Group) -> bool:
    """Whether every run of a group has a frontier with the same number of responses per prompt."""
    return samples_of(group) is not None


def samples_of(group: Group) -> int | None:
    """Responses per prompt at each point; None if a run has no frontier, or the numbers differ."""
    samples = {result.frontier and result.frontier.samples for result in group.results}
    return samples.pop() if len(samples) == 1 else None


def why_left_out(group: Group) -> str | None:
    """Why a group has no points, in words; None if it has points."""
    runs = len(group.results)
    with_frontier = sum(result.frontier is not None for result in group.results)
    if with_frontier == 0:
        return "no frontier"
    if with_frontier < runs:
        return f"a frontier in only {with_frontier} of {runs} training runs"
    if not has_frontier(group):
        return "its training runs have different numbers of responses"
    return None if points_of(group) else "its training runs have no common temperature"


def without_ngrams(group: Group) -> float:
    """Largest share of inputs without 4-grams among the points of a group; 0 without points."""
    shares = [
        np.mean(point.array(NGRAMS, result.inputs) == 0)
        for result in group.results
        if result.frontier is not None
        for point in result.frontier.points
        if point.values.get(NGRAMS) is not None
    ]
    return float(max(shares, default=0.0))


def points_of(group: Group) -> list[GroupPoint]:
    """The points that all runs of a group have, greedy decoding first."""
    if not has_frontier(group):
        return []
    points = []
    for position in _positions(group):
        of_runs = [_at(result, position) for result in group.results]
        names = [name for name in of_runs[0].values
                 if all(point.mean(name) is not None for point in of_runs)]  # fmt: skip
        inputs = [result.inputs for result in group.results]
        means = {name: _pooled_mean(of_runs, inputs, name) for name in names}
        points.append(GroupPoint(*position, means))
    return points


def intervals_of(group: Group, names: Sequence[str]) -> dict[tuple[Position, str], Interval | None]:
    """95% bootstrap intervals over inputs of values at the points, by position and name.

    The values of an input are averaged over the training runs. A value has no interval if the
    results have only its means, as older ones have of self-BLEU, or if the runs have other numbers
    of inputs.
    """
    if len({result.inputs for result in group.results}) > 1:
        return {}
    keys = [
        (point.position, name)
        for point in points_of(group)
        for name in names
        if name in point.values and all(_has_inputs(result, name) for result in group.results)
    ]
    if not keys:
        return {}
    pairs = [_over_runs(group, *key) for key in keys]
    intervals = bootstrap_intervals(
        np.stack([values for values, _ in pairs]), np.stack([_or_ones(*pair) for pair in pairs])
    )
    return dict(zip(keys, intervals, strict=True))


def curve_of(group: Group, name: str) -> Curve | None:
    """The value with this name as a function of diversity, over the temperatures of a group.

    The values of an input are averaged over the training runs. Points with top-p are left out.

    Returns:
        None if a frontier has only the means of the value, if there are fewer than two points with
        the value and with 4-grams, or if the runs of the group have other numbers of inputs or of
        responses per prompt.
    """
    if name not in WITH_INPUTS:
        return None
    if not has_frontier(group) or len({result.inputs for result in group.results}) > 1:
        return None
    positions = [
        (temperature, top_p)
        for temperature, top_p in _positions(group)
        if top_p == 1 and all(_is_on_curve(_at(r, (temperature, 1)), name) for r in group.results)
    ]
    if len(positions) < 2:
        return None
    diversity = [_over_runs(group, position, DIVERSITY) for position in positions]
    quality = [_over_runs(group, position, name) for position in positions]
    has_weights = all(weights is not None for _, weights in quality)
    return Curve(
        temperatures=np.array([temperature for temperature, _ in positions], dtype=np.float64),
        diversity=np.stack([values for values, _ in diversity]),
        diversity_weights=np.stack([_or_ones(*pair) for pair in diversity]),
        quality=np.stack([values for values, _ in quality]),
        quality_weights=np.stack([w for _, w in quality]) if has_weights else None,
    )


def common_range(curves: Sequence[Curve], with_greedy: bool) -> tuple[float, float] | None:
    """The diversities that all curves have, from lowest to highest; None if there are none."""
    ranges = [curve.range(with_greedy) for curve in curves]
    low, high = max(low for low, _ in ranges), min(high for _, high in ranges)
    return (low, high) if low <= high else None


def round_values(low: float, high: float, count: int = 3) -> list[float]:
    """`count` round numbers, evenly spread from `low` to `high`; the middle if that is impossible.

    The numbers are multiples of the largest of 0.1, 0.05, 0.02, 0.01, ... with enough multiples. A
    tenth of the range is left out at each end, where some resamples have no number.
    """
    margin = (high - low) / 10
    for step in (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001):
        first, last = math.ceil((low + margin) / step), math.floor((high - margin) / step)
        if last - first + 1 >= count:
            return [round(round(n) * step, 3) for n in np.linspace(first, last, count).tolist()]
    return [round((low + high) / 2, 4)]


def _positions(group: Group) -> list[Position]:
    """The positions that all runs have: by temperature, then those with top-p."""
    sets = [{(p.temperature, p.top_p) for p in result.frontier.points} for result in group.results]
    return sorted(set.intersection(*sets), key=lambda position: (position[1] < 1, position))


def _at(result: Result, position: Position) -> FrontierPoint:
    """The point of a result at a position."""
    points = result.frontier.points
    return next(point for point in points if (point.temperature, point.top_p) == position)


def _has_inputs(result: Result, name: str) -> bool:
    """Whether a result has the numbers of the inputs. A point with equal numbers has only one."""
    values = [point.values.get(name) for point in result.frontier.points]
    return name in WITH_INPUTS and any(value and value.per_input for value in values)


def _is_on_curve(point: FrontierPoint, name: str) -> bool:
    """Whether a point has the value, and a diversity: without 4-grams there is none."""
    return point.mean(name) is not None and point.mean(NGRAMS) != 0


def _pooled_mean(points: Sequence[FrontierPoint], inputs: Sequence[int], name: str) -> float:
    """Mean of a value over runs; each run has the total weight of its inputs, if there are weights.

    Runs with equal weights count equally.
    """
    means = [point.mean(name) for point in points]
    names = [point.values[name].weights for point in points]
    if None in names:
        return float(np.mean(means))
    weights = [point.mean(name) for point, name in zip(points, names, strict=True)]
    totals = np.array(weights) * np.array(inputs)
    return float(np.average(means, weights=totals)) if totals.any() else float(np.mean(means))


def _over_runs(group: Group, position: Position, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """The values `[N]` of a point averaged over the runs, and their weights `[N]` or None."""
    runs = [(_at(result, position), result.inputs) for result in group.results]
    values = np.stack([point.array(name, inputs) for point, inputs in runs])  # [R, N]
    weights = [point.weights(name, inputs) for point, inputs in runs]
    if any(of_run is None for of_run in weights):
        return values.mean(axis=0), None
    stacked = np.stack(weights)
    return weighted_mean(values.T, stacked.T), stacked.mean(axis=0)


def _or_ones(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    return np.ones_like(values) if weights is None else weights
