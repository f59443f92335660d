"""The uncertainty of scores: over sampling seeds, over inputs, and between two models.

Scores are arrays [S, N] for S sampling seeds and N inputs. A metric may weigh the inputs: the mean
is then `sum of weights * scores / sum of weights`. Two sources of randomness are measured
separately: sampling (the standard deviation of the mean score over seeds, which the paper reports),
and the choice of the inputs (a percentile bootstrap over inputs; Efron and Tibshirani, 1993,
chapter 13; paired as in Koehn, 2004). Only numpy is needed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
CONFIDENCE = 0.95
# Resampled scores in memory at once: 32 MiB of float64, so that large data sets fit.
BLOCK = 2**22


@dataclass(frozen=True)
class Interval:
    """A mean with the two ends of its bootstrap interval, in the unit of the scores."""

    mean: float
    low: float
    high: float


def weighted_mean(scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean of `scores` over the last axis, weighed by `weights` of the same shape.

    Weights None means equal weights. If all weights are 0, the mean is 0.
    """
    if weights is None:
        return scores.mean(axis=-1)
    total = np.asarray(weights.sum(axis=-1), dtype=np.float64)
    weighted_sum = (weights * scores).sum(axis=-1)
    return np.divide(weighted_sum, total, out=np.zeros_like(total), where=total > 0)


def mean_and_std(
    scores: np.ndarray, weights: np.ndarray | None = None
) -> tuple[float, float | None]:
    """Mean score, and standard deviation (ddof=1) over seeds of the mean over inputs.

    Args:
        scores: [S, N], one row for each sampling seed.
        weights: [S, N], or None.

    Returns:
        The mean over seeds, and the standard deviation, which is None for a single seed.

    Raises:
        ValueError: if the scores have another shape, are empty or not finite.
    """
    scores, weights = _check(scores, weights, dimensions=2)
    per_seed = weighted_mean(scores, weights)
    std = float(per_seed.std(ddof=1)) if len(per_seed) > 1 else None
    return float(per_seed.mean()), std


def average_over_seeds(
    scores: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Scores [N] of the inputs averaged over seeds, with the averaged weights [N] or None."""
    if weights is None:
        return scores.mean(axis=0), None
    return weighted_mean(scores.T, weights.T), weights.mean(axis=0)


def bootstrap_interval(
    scores: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Percentile bootstrap interval over inputs of the mean score.

    Inputs are resampled, and seeds are not: the score of a resample is the mean over all seeds.

    Args:
        scores: [S, N], one row for each sampling seed.
        weights: [S, N], or None.
        seed: seed of the generator; the same seed and N resample the same inputs.
        resamples: number of data sets of N inputs that are drawn, with replacement.
        confidence: share of the resampled means between the two ends of the interval.

    Raises:
        ValueError: if the scores have another shape, are empty or not finite.
    """
    scores, weights = _check(scores, weights, dimensions=2)
    if weights is None:
        per_input = scores.mean(axis=0)
        mean = float(per_input.mean())
        resampled = resample(
            lambda drawn: per_input[drawn].mean(axis=1), len(per_input), seed, resamples
        )
    else:
        mean = float(weighted_mean(scores, weights).mean())
        resampled = resample(
            lambda drawn: np.mean(
                [weighted_mean(x[drawn], w[drawn]) for x, w in zip(scores, weights, strict=True)],
                axis=0,
            ),
            scores.shape[1],
            seed,
            resamples,
        )
    return interval_of(mean, resampled, confidence)


def paired_bootstrap(
    scores: np.ndarray,
    baseline: np.ndarray,
    weights: np.ndarray | None = None,
    baseline_weights: np.ndarray | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Bootstrap interval of the difference of the means `scores - baseline` on the same inputs.

    Each resample draws inputs, and uses the scores of both models for these inputs. So the
    difficulty of an input, which affects both models, cancels out.

    Args:
        scores: [N], one score for each input (averaged over seeds).
        baseline: [N], the scores of the other model for the same inputs in the same order.
        weights: [N], or None.
        baseline_weights: [N], or None if `weights` is None.
        seed: of the resamples.
        resamples: their number.
        confidence: of the interval, such as 0.95.

    Raises:
        ValueError: if the scores have different lengths, other shapes, are empty or not finite.
    """
    scores, weights, baseline, baseline_weights = check_pair(
        scores, baseline, weights, baseline_weights
    )
    if weights is None and baseline_weights is None:
        return bootstrap_interval(
            (scores - baseline)[None], seed=seed, resamples=resamples, confidence=confidence
        )

    def difference(drawn: np.ndarray | slice) -> np.ndarray:
        means = [
            weighted_mean(x[drawn], None if w is None else w[drawn])
            for x, w in ((scores, weights), (baseline, baseline_weights))
        ]
        return means[0] - means[1]

    resampled = resample(difference, len(scores), seed, resamples)
    return interval_of(float(difference(slice(None))), resampled, confidence)


def resample(
    mean: Callable[[np.ndarray], np.ndarray], inputs: int, seed: int, resamples: int
) -> np.ndarray:
    """Means [resamples, ...] of resampled inputs; `mean` maps indices [R, inputs] to [R, ...]."""
    generator = np.random.default_rng(seed)
    rows = max(1, BLOCK // inputs)
    means = []  # blocks of [R, ...]
    for start in range(0, resamples, rows):
        shape = (min(rows, resamples - start), inputs)
        means.append(mean(generator.integers(inputs, size=shape)))
    return np.concatenate(means)


def counts_of(drawn: np.ndarray) -> np.ndarray:
    """How often each input occurs in each row of the drawn indices `[R, N]`: float64 `[R, N]`."""
    rows, inputs = drawn.shape
    flat = drawn + np.arange(rows)[:, None] * inputs
    return np.bincount(flat.ravel(), minlength=drawn.size).reshape(rows, inputs).astype(np.float64)


def weighted_means(values: np.ndarray, weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Weighted means `[R, K]` of K lists of values in R resamples; nan where all weights are 0.

    Args:
        values, weights: `[K, N]`.
        counts: how often each input occurs in each resample, `[R, N]`.
    """
    totals = counts @ weights.T
    sums = counts @ (weights * values).T
    return np.divide(sums, totals, out=np.full_like(sums, np.nan), where=totals > 0)


def bootstrap_intervals(values: np.ndarray, weights: np.ndarray) -> list[Interval | None]:
    """95% bootstrap intervals of the weighted means of K lists of values of the same N inputs.

    The resamples are those of `bootstrap_interval`, and all lists share them.

    Args:
        values, weights: `[K, N]`.

    Returns:
        One interval per list; None if all weights of the list are 0.
    """
    inputs = values.shape[1]
    means = weighted_means(values, weights, np.ones((1, inputs)))[0]  # [K]
    resampled = resample(
        lambda drawn: weighted_means(values, weights, counts_of(drawn)), inputs, 0, RESAMPLES
    )  # [R, K]
    return [
        interval_of(float(mean), column[np.isfinite(column)]) if np.isfinite(mean) else None
        for mean, column in zip(means, resampled.T, strict=True)
    ]


def interval_of(mean: float, resampled: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """The percentile interval of the resampled means [R]."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(mean, float(low), float(high))


def check_pair(
    scores: np.ndarray,
    baseline: np.ndarray,
    weights: np.ndarray | None,
    baseline_weights: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray, np.ndarray | None]:
    """Scores, weights, baseline and its weights as float64, [N] each.

    Raises:
        ValueError: if the scores have different lengths, other shapes, are empty or not finite.
    """
    scores, weights = _check(scores, weights, dimensions=1)
    baseline, baseline_weights = _check(baseline, baseline_weights, dimensions=1)
    if len(scores) != len(baseline):
        raise ValueError(
            f"{len(scores)} scores cannot be paired with {len(baseline)}; "
            "give the scores of two models for the same inputs"
        )
    return scores, weights, baseline, baseline_weights


def _check(
    scores: np.ndarray, weights: np.ndarray | None, dimensions: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Scores and weights as float64. Refuses scores and weights that cannot be averaged."""
    scores = np.asarray(scores, dtype=np.float64)
    shape = "[seeds, inputs]" if dimensions == 2 else "[inputs]"
    if scores.ndim != dimensions or scores.size == 0:
        raise ValueError(f"scores have shape {list(scores.shape)}; give a non-empty {shape}")
    if not np.isfinite(scores).all():
        raise ValueError(
            f"{np.count_nonzero(~np.isfinite(scores))} of {scores.size} scores are not finite; "
            "every input needs a score"
        )
    if weights is None:
        return scores, None
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != scores.shape:
        raise ValueError(
            f"weights have shape {list(weights.shape)} and scores {list(scores.shape)}; "
            "give one weight for each score"
        )
    return scores, weights
