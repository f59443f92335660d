"""Intervals cover as often as they promise, and pairing cancels what two models share."""

import numpy as np
import pytest

from minillm.evaluation import statistics
from minillm.evaluation.statistics import (
    average_over_seeds,
    bootstrap_interval,
    mean_and_std,
    paired_bootstrap,
    weighted_mean,
)


def test_mean_and_std_over_seeds():
    mean, std = mean_and_std(np.array([[0.0, 2.0], [2.0, 4.0]]))  # means of seeds: 1 and 3
    assert mean == 2.0
    assert std == pytest.approx(2**0.5)
    assert mean_and_std(np.array([[1.0, 2.0]])) == (1.5, None)


def test_bootstrap_interval_covers_the_true_mean():
    generator = np.random.default_rng(0)
    covered = 0
    for seed in range(100):
        interval = bootstrap_interval(generator.normal(50, 10, (1, 60)), seed=seed, resamples=500)
        assert interval.low < interval.mean < interval.high
        covered += interval.low < 50 < interval.high
    assert 88 <= covered <= 100


def test_the_width_of_an_interval_depends_on_inputs_and_not_on_seeds():
    inputs = np.random.default_rng(0).normal(50, 10, 400)
    one, five = bootstrap_interval(inputs[None]), bootstrap_interval(np.tile(inputs, (5, 1)))
    assert (five.low, five.high) == pytest.approx((one.low, one.high))
    assert one.high - one.low == pytest.approx(2 * 1.96 * inputs.std() / 20, rel=0.1)
    assert one == bootstrap_interval(inputs[None])
    assert one != bootstrap_interval(inputs[None], seed=1)


def test_the_block_size_hardly_changes_an_interval(monkeypatch):
    inputs = np.random.default_rng(0).normal(50, 10, (1, 50))
    one_block = bootstrap_interval(inputs)
    monkeypatch.setattr(statistics, "BLOCK", 333)
    assert bootstrap_interval(inputs).low == pytest.approx(one_block.low, abs=0.3)
    monkeypatch.setattr(statistics, "BLOCK", 1)
    assert bootstrap_interval(inputs).high == pytest.approx(one_block.high, abs=0.3)


def test_paired_bootstrap_cancels_what_is_shared():
    generator = np.random.default_rng(0)
    hardness, gain = generator.normal(50, 20, 300), generator.normal(1, 2, 300)
    paired = paired_bootstrap(hardness + gain, hardness)
    assert paired.mean == pytest.approx(gain.mean())
    assert 0 < paired.low < paired.high < 2  # far narrower than the interval of either model
    mirrored = paired_bootstrap(hardness, hardness + gain)
    assert (mirrored.low, mirrored.high) == pytest.approx((-paired.high, -paired.low))


def test_weights_by_hand():
    scores, weights = np.array([[1.0, 4.0], [2.0, 8.0]]), np.array([[2.0, 1.0], [1.0, 1.0]])
    assert weighted_mean(scores, weights).tolist() == [2.0, 5.0]
    assert mean_and_std(scores, weights) == (3.5, pytest.approx(3 / 2**0.5))
    per_input, input_weights = average_over_seeds(scores, weights)
    assert per_input.tolist() == pytest.approx([4 / 3, 6.0])
    assert input_weights.tolist() == [1.5, 1.0]
    assert weighted_mean(np.ones(2), np.zeros(2)) == 0


def test_equal_weights_change_nothing():
    generator = np.random.default_rng(0)
    scores, baseline = generator.normal(50, 10, (3, 40)), generator.normal(50, 10, 40)
    plain, weighed = bootstrap_interval(scores), bootstrap_interval(scores, np.full((3, 40), 7.0))
    assert vars(weighed) == pytest.approx(vars(plain))
    plain = paired_bootstrap(scores[0], baseline)
    weighed = paired_bootstrap(scores[0], baseline, np.full(40, 2.0), np.full(40, 3.0))
    assert vars(weighed) == pytest.approx(vars(plain))


def test_a_weighed_interval_covers_the_true_ratio():
    """Scores correlate with lengths, so the weighted mean differs from the mean of the scores."""
    generator = np.random.default_rng(0)
    covered = 0
    for seed in range(100):
        lengths = generator.integers(1, 20, (1, 80)).astype(float)
        scores = lengths + generator.normal(0, 2, lengths.shape)
        interval = bootstrap_interval(scores, lengths, seed=seed, resamples=500)
        covered += interval.low < 13.0 < interval.high  # E[n^2] / E[n] of 1 to 19
    assert 88 <= covered <= 100
    difference = paired_bootstrap(scores[0] + 1, scores[0], lengths[0], lengths[0])
    assert (difference.low, difference.mean, difference.high) == pytest.approx((1, 1, 1))


@pytest.mark.parametrize("scores", [[], [[]], [1.0, 2.0], [[1.0, float("nan")]]])
def test_scores_that_cannot_be_averaged_are_refused(scores):
    with pytest.raises(ValueError, match="scores"):
        bootstrap_interval(np.array(scores))
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_bootstrap(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match=r"weights have shape \[3\]"):
        paired_bootstrap(np.ones(2), np.ones(2), np.ones(3), np.ones(2))
