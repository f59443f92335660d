"""Differences at equal diversity: against a plain loop, and where the answer is known."""

from itertools import pairwise

import numpy as np
import pytest

from minillm.evaluation.equal_diversity import (
    Curve,
    beside_greedy,
    differences_at,
    interpolate,
    is_beside_greedy,
    quality_at,
    sharpening,
    temperatures_at,
)

TEMPERATURES = np.array([0.0, 0.5, 1.0])


def random_curve(seed: int, inputs: int = 30) -> Curve:
    """A curve whose diversity grows and whose quality falls with the temperature."""
    generator = np.random.default_rng(seed)
    shape = (3, inputs)
    return Curve(
        temperatures=TEMPERATURES,
        diversity=np.array([[0.5], [0.7], [0.9]]) + generator.normal(0, 0.05, shape),
        diversity_weights=generator.integers(1, 30, shape).astype(float),
        quality=np.array([[60.0], [55.0], [45.0]]) + generator.normal(0, 9, shape),
    )


def straight_curve(offset: float, diversities: list[float], inputs: int = 4) -> Curve:
    """Quality is `offset - 100 * diversity` for every input, so intervals have no width."""
    diversity = np.repeat(np.array(diversities)[:, None], inputs, axis=1)
    quality = offset - 100 * diversity
    return Curve(TEMPERATURES, diversity, np.ones_like(diversity), quality)


def plain_difference(first: Curve, baseline: Curve, drawn: np.ndarray, at: float) -> float:
    """The difference in one resample, point by point and segment by segment."""
    at_equal = []
    for curve in (first, baseline):
        points = []
        for d, w, q in zip(curve.diversity, curve.diversity_weights, curve.quality, strict=True):
            mean = sum(d[i] * w[i] for i in drawn) / sum(w[i] for i in drawn)
            points.append((mean, sum(q[i] for i in drawn) / len(drawn)))
        points.sort()
        value = np.nan
        for (x0, y0), (x1, y1) in pairwise(points):
            if x0 <= at <= x1:
                value = y0 + (at - x0) / (x1 - x0) * (y1 - y0)
        at_equal.append(value)
    return at_equal[0] - at_equal[1]


def test_equals_a_plain_loop():
    first, baseline = random_curve(1), random_curve(2)
    at = [0.6, 0.75]
    intervals = differences_at(first, baseline, at, seed=3, resamples=50, confidence=0.8)
    drawn = np.random.default_rng(3).integers(30, size=(50, 30))
    for diversity, interval in zip(at, intervals, strict=True):
        resampled = [plain_difference(first, baseline, row, diversity) for row in drawn]
        expected = plain_difference(first, baseline, np.arange(30), diversity)
        assert interval.mean == pytest.approx(expected)
        assert [interval.low, interval.high] == pytest.approx(np.quantile(resampled, [0.1, 0.9]))


def test_parallel_lines_differ_by_their_distance():
    first, baseline = straight_curve(150, [0.5, 0.6, 0.8]), straight_curve(147, [0.5, 0.7, 0.95])
    below, inside, above = differences_at(first, baseline, [0.45, 0.7, 0.85], resamples=20)
    assert (inside.mean, inside.low, inside.high) == pytest.approx((3, 3, 3))
    assert below is None and above is None  # nothing is extrapolated
    assert temperatures_at(first, [0.7, 0.85]) == pytest.approx([0.75, np.nan], nan_ok=True)
    assert first.range() == pytest.approx((0.5, 0.8))
    assert first.range(with_greedy=False) == pytest.approx((0.6, 0.8))


def test_sharpening_and_the_rest_are_the_whole_difference():
    """The baseline at temperature 0.7 has the diversity of the first model at temperature 1."""
    first, baseline = straight_curve(150, [0.5, 0.6, 0.8]), straight_curve(147, [0.5, 0.7, 0.95])
    split = sharpening(first, baseline, 1.0, resamples=20)
    assert split.diversity == pytest.approx(0.8) and split.temperature == pytest.approx(0.7)
    assert split.at_equal_temperature.mean == pytest.approx(18)  # (150 - 80) - (147 - 95)
    assert split.at_equal_diversity.mean == pytest.approx(3)
    assert split.sharpening.mean == pytest.approx(15)
    same = sharpening(baseline, baseline, 1.0, resamples=20)
    assert same.at_equal_temperature.mean == same.sharpening.mean == 0
    assert sharpening(baseline, first, 1.0, resamples=20) is None  # first never has 0.95
    with pytest.raises(ValueError, match=r"no point at temperature 0\.7"):
        sharpening(first, baseline, 0.7)


def test_no_split_beside_greedy_decoding():
    """The diversity 0.8 of `first` is between greedy decoding and temperature 0.5 of `sharp`."""
    first, sharp = straight_curve(150, [0.5, 0.6, 0.8]), straight_curve(147, [0.5, 0.82, 0.95])
    assert is_beside_greedy(first, sharp, 1.0)
    assert sharpening(first, sharp, 1.0, resamples=20) is None
    at = [0.5, 0.6, 0.82, 0.9]  # the ends are measured
    assert beside_greedy(sharp, at).tolist() == [False, True, False, False]


def test_a_resample_without_weights_has_no_number():
    curve = straight_curve(150, [0.5, 0.6, 0.8])
    curve.diversity_weights[1, 1:] = 0  # only the first input has 4-grams at this point
    diversity, quality = curve.means(np.array([[1.0, 1, 1, 1], [0, 2, 1, 1]]))
    np.testing.assert_allclose(diversity, [[0.5, 0.6, 0.8], [0.5, np.nan, 0.8]])
    assert np.isfinite(quality).all()
    assert np.isnan(interpolate(diversity, quality, np.array([0.7]))).tolist() == [[False], [True]]


def test_interpolation_in_any_order_and_at_the_ends():
    diversity = np.array([[0.9, 0.5, 0.7], [0.6, 0.6, 0.6]])
    values = np.array([[1.0, 5, 2], [3, 3, 3]])
    at = np.array([0.5, 0.6, 0.8, 0.9, 0.95])
    expected = [[5, 3.5, 1.5, 1, np.nan], [np.nan, 3, np.nan, np.nan, np.nan]]
    np.testing.assert_allclose(interpolate(diversity, values, at), expected)
    one_point = interpolate(np.array([[0.5]]), np.array([[7.0]]), at[:2])
    np.testing.assert_allclose(one_point, [[7, np.nan]])


def test_curves_of_other_inputs_are_refused():
    with pytest.raises(ValueError, match="curves of 30 and 31 inputs cannot be paired"):
        differences_at(random_curve(1), random_curve(2, inputs=31), [0.7])


def test_a_difference_needs_most_of_the_resamples():
    first = random_curve(1)
    edge = first.range()[1] - 1e-4  # about half of the resamples reach this diversity
    assert differences_at(first, first, [edge, edge - 0.05], resamples=100)[0] is None


def test_quality_of_one_curve():
    """At a measured diversity, and between two; nothing is extrapolated."""
    curve = straight_curve(100, [0.5, 0.7, 0.9])
    for diversity in (0.7, 0.8):
        interval = quality_at(curve, diversity)
        assert interval.mean == pytest.approx(100 - 100 * diversity)
        assert interval.low == pytest.approx(interval.high)
    assert quality_at(curve, 0.95) is None
    curve = random_curve(1)
    interval = quality_at(curve, 0.75)
    assert interval.low < interval.mean < interval.high
