"""Paired tests: against enumeration and published examples, and how often they are wrong."""

from itertools import product

import numpy as np
import pytest

from minillm.evaluation.equal_diversity import Curve, difference_p_values
from minillm.evaluation.significance import bootstrap_p, holm, permutation_p
from minillm.evaluation.statistics import paired_bootstrap, weighted_mean

# Darwin's 15 pairs of maize plants: cross-fertilised minus self-fertilised height, in 1/8 inch.
MAIZE = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], dtype=float)


def enumerated(scores, baseline, weights, baseline_weights) -> float:
    """The share of exchanges with at least the observed difference, one exchange at a time."""
    sizes = []
    for exchange in product([False, True], repeat=len(scores)):
        first, second = (
            np.where(exchange, a, b) for a, b in ((baseline, scores), (scores, baseline))
        )
        w, v = (np.where(exchange, a, b) for a, b in
                ((baseline_weights, weights), (weights, baseline_weights)))  # fmt: skip
        sizes.append(abs(weighted_mean(first, w) - weighted_mean(second, v)))
    return float(np.mean(np.array(sizes) >= sizes[0] - 1e-9))


def test_the_example_of_fisher():
    """863 of 32768 sums are at least the observed one (The Design of Experiments, section 21)."""
    zeros = np.zeros(15)
    assert permutation_p(MAIZE, zeros, resamples=2**15) == 2 * 863 / 2**15
    assert permutation_p(zeros, MAIZE, resamples=2**15) == 2 * 863 / 2**15
    sampled = permutation_p(MAIZE, zeros)  # 10,000 random exchanges
    assert sampled == pytest.approx(2 * 863 / 2**15, abs=0.007) and sampled != 2 * 863 / 2**15


def test_exchanges_include_the_weights():
    generator = np.random.default_rng(0)
    scores, baseline = generator.normal(1, 1, 8), generator.normal(0, 1, 8)
    weights, others = generator.integers(0, 9, (2, 8)).astype(float)
    expected = enumerated(scores, baseline, weights, others)
    assert permutation_p(scores, baseline, weights, others) == expected
    assert 0 < expected < 1
    plain = permutation_p(scores, baseline)
    assert plain == enumerated(scores, baseline, np.ones(8), np.ones(8)) != expected
    assert permutation_p(scores, baseline, np.full(8, 3.0), np.full(8, 3.0)) == plain


def test_the_smallest_and_the_largest_p():
    same = np.linspace(0, 1, 40)
    assert permutation_p(same, same) == 1.0
    assert permutation_p(same + 1, same) == 1 / 10_001
    assert bootstrap_p(np.zeros(100)) == 1.0 and bootstrap_p(np.ones(99)) == 2 / 100
    with pytest.raises(ValueError, match="40 scores cannot be paired with 3"):
        permutation_p(same, same[:3])


def test_equal_models_seldom_have_a_small_p():
    generator = np.random.default_rng(0)
    p_values = [
        permutation_p(generator.standard_t(3, 30), generator.standard_t(3, 30), resamples=400)
        for _ in range(300)
    ]
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(np.array(p_values) < 0.5) == pytest.approx(0.5, abs=0.1)


def test_both_tests_agree_with_the_interval():
    generator = np.random.default_rng(1)
    for gain in (0.5, 3.0):
        gains = generator.normal(gain, 10, 200)
        interval = paired_bootstrap(gains, np.zeros(200))
        resampled = gains[generator.integers(200, size=(10_000, 200))].mean(axis=1)
        p, other = permutation_p(gains, np.zeros(200)), bootstrap_p(resampled)
        assert p == pytest.approx(other, abs=0.03)
        assert (p < 0.05) == (other < 0.05) == (not interval.low < 0 < interval.high)


def test_holm():
    """As `p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")` of R."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.7, 0.5]) == [1.0, 1.0] and holm([0.04]) == [0.04] and holm([]) == []


def test_p_at_equal_diversity():
    """Equal curves with noise of their own do not differ, and a shifted curve does."""
    generator = np.random.default_rng(0)
    shape, means = (3, 100), np.array([[0.5], [0.7], [0.9]])

    def curve(gain: float) -> Curve:
        diversity = means + generator.normal(0, 0.02, shape)
        quality = 100 - 40 * means + gain + generator.normal(0, 9, shape)
        return Curve(np.array([0.0, 0.5, 1.0]), diversity, np.ones(shape), quality)

    first, equal, better = curve(0), curve(0), curve(6)
    at = [0.6, 0.8, 0.99]
    p_values = difference_p_values(better, first, at)
    assert p_values[0] < 0.01 and p_values[1] < 0.01 and p_values[2] is None  # outside
    assert min(difference_p_values(equal, first, at)[:2]) > 0.05
