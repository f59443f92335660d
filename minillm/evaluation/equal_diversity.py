"""Compares the frontiers of two models at equal diversity, with paired bootstrap intervals.

A curve is the quality of a model as a function of its diversity: straight lines between the points
of its frontier. Each resample of the inputs recomputes diversity and quality of every point,
interpolates both curves, and takes their difference. So an interval includes the randomness of the
diversities. Nothing is extrapolated: a diversity outside the range of a curve gives no number.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minillm.evaluation.significance import TEST_RESAMPLES, bootstrap_p
from minillm.evaluation.statistics import (
    CONFIDENCE,
    RESAMPLES,
    Interval,
    counts_of,
    interval_of,
    resample,
    weighted_means,
)

# A difference is reported if at least this share of the resamples has a value at the diversity.
ENOUGH = 0.95
_CLOSE = 1e-9  # diversities that differ by less are equal


@dataclass(frozen=True)
class Curve:
    """The values of N inputs at P points of a frontier, float64 `[P, N]` each.

    Attributes:
        temperatures: of the points, float64 `[P]`; 0 for greedy decoding.
        diversity, diversity_weights: of each input; a point has their weighted mean.
        quality: of each input.
        quality_weights: None for equal weights.
    """

    temperatures: np.ndarray
    diversity: np.ndarray
    diversity_weights: np.ndarray
    quality: np.ndarray
    quality_weights: np.ndarray | None = None

    def means(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Diversity and quality `[R, P]` of the points in R resamples.

        Args:
            counts: how often each input occurs in each resample, `[R, N]`.
        """
        weights = self.quality_weights
        if weights is None:
            weights = np.ones_like(self.quality)
        return (
            weighted_means(self.diversity, self.diversity_weights, counts),
            weighted_means(self.quality, weights, counts),
        )

    def range(self, with_greedy: bool = True) -> tuple[float, float]:
        """Lowest and highest diversity of the points, over all inputs."""
        diversity, _ = self.means(np.ones((1, self.quality.shape[1])))
        chosen = diversity[0] if with_greedy else diversity[0][self.temperatures > 0]
        return float(chosen.min()), float(chosen.max())


@dataclass(frozen=True)
class Sharpening:
    """What part of the difference of two models at one temperature is a lower temperature.

    Attributes:
        diversity: of the first model at the temperature.
        temperature: at which the baseline has this diversity.
        at_equal_temperature: first model minus baseline, both at the temperature.
        at_equal_diversity: first model minus baseline, at `diversity`.
        sharpening: the difference of these two, which the baseline gains from sampling at
            `temperature`.
    """

    diversity: float
    temperature: float
    at_equal_temperature: Interval
    at_equal_diversity: Interval
    sharpening: Interval


def interpolate(diversity: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Values at the given diversities `[R, D]`, on straight lines between P points per row.

    The points are sorted by diversity. A diversity outside the range of its row gives nan.

    Args:
        diversity: `[R, P]`, in any order.
        values: `[R, P]`.
        at: `[D]`, or `[R, D]` for other diversities in each row.
    """
    order = np.argsort(diversity, axis=1, kind="stable")
    x, y = (np.take_along_axis(a, order, axis=1) for a in (diversity, values))
    at = np.broadcast_to(at, (len(x), np.shape(at)[-1]))
    right = (x[:, None, :] < at[:, :, None]).sum(-1).clip(0, x.shape[1] - 1)  # [R, D]
    left = (right - 1).clip(min=0)
    x0, x1, y0, y1 = (np.take_along_axis(a, i, axis=1)
                      for a, i in ((x, left), (x, right), (y, left), (y, right)))  # fmt: skip
    width = x1 - x0
    share = np.divide(at - x0, width, out=np.zeros(at.shape), where=width > 0)
    inside = (at >= x[:, :1]) & (at <= x[:, -1:])
    return np.where(inside, y0 + share * (y1 - y0), np.nan)


def differences_at(
    first: Curve,
    baseline: Curve,
    at: np.ndarray,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> list[Interval | None]:
    """Quality of `first` minus quality of `baseline` on the same inputs, at each diversity.

    Args:
        first: the curve of one model.
        baseline: the curve of the other model, with the same N inputs.
        at: diversities `[D]`.
        seed: of the resamples.
        resamples: their number.
        confidence: of the interval, such as 0.95.

    Returns:
        For each diversity the difference with its interval. None if the diversity is outside the
        range of a curve, or is outside in more than 5% of the resamples. If it is outside in fewer
        resamples, the interval is that of the others.

    Raises:
        ValueError: the curves have different numbers of inputs.
    """
    difference = _difference(first, baseline, at)
    return _intervals(difference, first, baseline, seed, resamples, confidence)


def difference_p_values(first: Curve, baseline: Curve, at: np.ndarray) -> list[float | None]:
    """Two-sided p-values of the differences of `differences_at`, by `bootstrap_p`.

    A test that exchanges the two models is not used: models that differ in diversity at every
    temperature cannot be exchanged, also if they have the same quality at each diversity.
    Only resamples with a difference at a diversity are used; None if there are none. The arguments
    and errors are those of `differences_at`.
    """
    difference = _difference(first, baseline, at)
    inputs = _common_inputs(first, baseline)
    resampled = resample(lambda drawn: difference(counts_of(drawn)), inputs, 0, TEST_RESAMPLES)
    finite = [column[np.isfinite(column)] for column in resampled.T]  # of each diversity
    return [bootstrap_p(column) if len(column) else None for column in finite]


def quality_at(curve: Curve, diversity: float) -> Interval | None:
    """The quality of a model at one diversity, with its 95% bootstrap interval over inputs.

    Returns:
        None if the diversity is outside the range of the curve, as in `differences_at`.
    """
    at = np.array([diversity])

    def quality(counts: np.ndarray) -> np.ndarray:
        return interpolate(*curve.means(counts), at)

    return _intervals(quality, curve, curve, 0, RESAMPLES, CONFIDENCE)[0]


def sharpening(
    first: Curve,
    baseline: Curve,
    temperature: float,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Sharpening | None:
    """Split the difference at one temperature into sharpening and the rest, at equal diversity.

    Args:
        first: the curve of one model, with a point at the temperature.
        baseline: the curve of the other model, with the same N inputs and such a point.
        temperature: of the difference, such as 1.
        seed: of the resamples.
        resamples: their number.
        confidence: of the interval, such as 0.95.

    Returns:
        None if the diversity of `first` at the temperature is outside the range of `baseline`, as
        in `differences_at`, or if `is_beside_greedy`.

    Raises:
        ValueError: a curve has no point at the temperature, or the numbers of inputs differ.
    """
    of_first, of_baseline = (_point_at(curve, temperature) for curve in (first, baseline))
    if is_beside_greedy(first, baseline, temperature):
        return None

    def parts(counts: np.ndarray) -> np.ndarray:
        """Differences at equal temperature and at equal diversity, and sharpening, `[R, 3]`."""
        diversity, quality = first.means(counts)
        x, y = baseline.means(counts)
        same = y[:, of_baseline]
        sharper = interpolate(x, y, diversity[:, of_first, None])[:, 0]
        q = quality[:, of_first]
        return np.stack([q - same, q - sharper, sharper - same], axis=1)

    intervals = _intervals(parts, first, baseline, seed, resamples, confidence)
    if None in intervals:
        return None
    all_inputs = np.ones((1, first.quality.shape[1]))
    diversity = first.means(all_inputs)[0][:, of_first]
    x, _ = baseline.means(all_inputs)
    equal = interpolate(x, baseline.temperatures[None], diversity[:, None])
    return Sharpening(float(diversity[0]), float(equal[0, 0]), *intervals)


def temperatures_at(curve: Curve, at: np.ndarray) -> np.ndarray:
    """The temperatures `[D]` at which a model has the diversities `[D]`; nan outside its range."""
    diversity, _ = curve.means(np.ones((1, curve.quality.shape[1])))
    return interpolate(diversity, curve.temperatures[None], np.asarray(at, dtype=np.float64))[0]


def is_beside_greedy(first: Curve, baseline: Curve, temperature: float) -> bool:
    """Whether the baseline has the diversity of `first` only beside greedy decoding.

    `first` is at a measured point. Its diversity is then on the wide segment of the baseline
    between greedy decoding and the lowest temperature. A concave curve is far above this straight
    line, so the split would favour `first`.

    Raises:
        ValueError: `first` has no point at the temperature.
    """
    diversity, _ = first.means(np.ones((1, first.quality.shape[1])))
    return bool(beside_greedy(baseline, diversity[:, _point_at(first, temperature)])[0])


def beside_greedy(curve: Curve, at: np.ndarray) -> np.ndarray:
    """Whether diversities `[D]` are inside the segment that starts at greedy decoding, bool `[D]`.

    Its two ends are measured, so they are not inside.
    """
    diversity, _ = curve.means(np.ones((1, curve.quality.shape[1])))
    order = np.argsort(diversity[0], kind="stable")
    x, is_greedy = diversity[0][order], curve.temperatures[order] == 0
    at = np.asarray(at, dtype=np.float64)[:, None]
    inside = (at > x[:-1] + _CLOSE) & (at < x[1:] - _CLOSE)  # [D, P - 1]
    return (inside & (is_greedy[:-1] | is_greedy[1:])).any(axis=1)


def _point_at(curve: Curve, temperature: float) -> int:
    indices = np.flatnonzero(curve.temperatures == temperature)
    if not len(indices):
        raise ValueError(f"the curve has no point at temperature {temperature}")
    return int(indices[0])


def _difference(
    first: Curve, baseline: Curve, at: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """The function from counts `[R, N]` to the differences `[R, D]` at the diversities `[D]`."""
    at = np.asarray(at, dtype=np.float64)
    return lambda counts: (
        interpolate(*first.means(counts), at) - interpolate(*baseline.means(counts), at)
    )


def _intervals(
    values: Callable[[np.ndarray], np.ndarray],
    first: Curve,
    baseline: Curve,
    seed: int,
    resamples: int,
    confidence: float,
) -> list[Interval | None]:
    """Intervals of `values`, which maps counts of the inputs `[R, N]` to numbers `[R, D]`."""
    inputs = _common_inputs(first, baseline)
    means = values(np.ones((1, inputs)))[0]  # [D]
    resampled = resample(lambda drawn: values(counts_of(drawn)), inputs, seed, resamples)  # [R, D]
    intervals: list[Interval | None] = []
    for mean, column in zip(means, resampled.T, strict=True):
        inside = column[np.isfinite(column)]
        if not np.isfinite(mean) or len(inside) < ENOUGH * resamples:
            intervals.append(None)
            continue
        intervals.append(interval_of(float(mean), inside, confidence))
    return intervals


def _common_inputs(first: Curve, baseline: Curve) -> int:
    inputs = first.quality.shape[1]
    if baseline.quality.shape[1] != inputs:
        raise ValueError(
            f"curves of {inputs} and {baseline.quality.shape[1]} inputs cannot be paired; give "
            f"curves of the same inputs"
        )
    return inputs
