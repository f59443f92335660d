"""Paired tests of two models on the same inputs, and their correction for many comparisons.

`permutation_p` tests a difference of means. `bootstrap_p` tests any number that was computed in
bootstrap resamples. Both are two-sided. `holm` corrects the p-values of all comparisons of a table.
Only numpy is needed.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from minillm.evaluation.statistics import BLOCK, check_pair

# More than for an interval, because a correction multiplies p by the number of comparisons.
TEST_RESAMPLES = 10_000
_ROUNDING = 1e-9  # differences that differ by less, relative to the scores, are equal


def permutation_p(
    scores: np.ndarray,
    baseline: np.ndarray,
    weights: np.ndarray | None = None,
    baseline_weights: np.ndarray | None = None,
    *,
    seed: int = 0,
    resamples: int = TEST_RESAMPLES,
) -> float:
    """Two-sided p-value of the difference of the means of two models on the same inputs.

    If the two models are equally good, then the names of the models may be exchanged for any input.
    p is the share of exchanges whose absolute difference is at least the observed one. Without
    weights, this is Fisher's test with random signs of the paired differences (The Design of
    Experiments, 1935, section 21). All exchanges are enumerated if there are at most `resamples`.
    Otherwise p is (1 + k) / (1 + resamples), where k counts random exchanges (Phipson and Smyth,
    2010, arXiv 1603.05766).

    Args:
        scores: [N], one score for each input (averaged over seeds).
        baseline: [N], the scores of the other model for the same inputs in the same order.
        weights: [N], or None. An exchange includes the weights.
        baseline_weights: [N], or None if `weights` is None.
        seed: of the exchanges.
        resamples: the number of random exchanges.

    Raises:
        ValueError: if the scores have different lengths, other shapes, are empty or not finite.
    """
    scores, weights, baseline, baseline_weights = check_pair(
        scores, baseline, weights, baseline_weights
    )
    first, second = (
        np.stack([x, np.ones_like(x)] if w is None else [w * x, w])  # [2, N]: numerator, weight
        for x, w in ((scores, weights), (baseline, baseline_weights))
    )
    half_sum, half_difference = (first + second).sum(axis=1) / 2, (first - second) / 2
    rounding = _ROUNDING * max(np.abs(scores).max(), np.abs(baseline).max())

    def differences(signs: np.ndarray) -> np.ndarray:
        """Differences [R] of the means after the exchanges `signs` [R, N]: -1 where exchanged."""
        change = signs @ half_difference.T  # [R, 2]
        return _ratio(half_sum + change) - _ratio(half_sum - change)

    inputs = len(scores)
    observed = np.abs(differences(np.ones((1, inputs)))[0]) - rounding
    extreme = sum(
        int((np.abs(differences(signs)) >= observed).sum())
        for signs in _exchanges(inputs, seed, resamples)
    )
    if _is_enumerable(inputs, resamples):
        return extreme / 2**inputs
    return (1 + extreme) / (1 + resamples)


def bootstrap_p(resampled: np.ndarray) -> float:
    """Two-sided p-value of the hypothesis that a number is 0, from its bootstrap resamples.

    p is below 0.05 where the 95% percentile interval excludes 0: twice the smaller of the shares of
    resamples with a number of at most 0, and of at least 0 (Efron and Tibshirani, 1993, chapter
    15). Both counts are larger by one, so that p is not 0.

    Args:
        resampled: [R], the number in each resample.
    """
    smaller = min((resampled <= 0).sum(), (resampled >= 0).sum())
    return min(1.0, 2.0 * float(1 + smaller) / (1 + len(resampled)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of several comparisons, corrected so that all of them together can be read.

    If no two models differ, the probability that any corrected value is below 0.05 is at most 0.05.
    This also holds for comparisons that depend on each other (Holm, 1979, A simple sequentially
    rejective multiple test procedure).
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(factors * values[order]))
    return corrected.tolist()


def _ratio(sums: np.ndarray) -> np.ndarray:
    """Numerator divided by weight, [R, 2] to [R]; 0 without weight, as in `weighted_mean`."""
    numerator, weight = sums[:, 0], sums[:, 1]
    has_weight = weight > _ROUNDING * max(1.0, weight.max())
    return np.divide(numerator, weight, out=np.zeros_like(numerator), where=has_weight)


def _is_enumerable(inputs: int, resamples: int) -> bool:
    return inputs < 63 and 2**inputs <= resamples


def _exchanges(inputs: int, seed: int, resamples: int) -> Iterator[np.ndarray]:
    """Signs 1 and -1 in blocks [R, inputs]: all of them, or `resamples` random ones."""
    if _is_enumerable(inputs, resamples):
        yield 1.0 - 2.0 * (np.arange(2**inputs)[:, None] >> np.arange(inputs) & 1)
        return
    generator = np.random.default_rng(seed)
    rows = max(1, BLOCK // inputs)
    for start in range(0, resamples, rows):
        shape = (min(rows, resamples - start), inputs)
        yield 1.0 - 2.0 * generator.integers(2, size=shape, dtype=np.int8)
