"""How sure a score is: over sampling seeds, over inputs, and between two models.

Scores come as arrays [S, N]: S sampling seeds, N inputs. Two kinds of chance are kept apart: that
of sampling (the standard deviation of the mean score over seeds, which the paper reports), and
that of which inputs the data set holds (a percentile bootstrap over inputs; Efron and Tibshirani,
1993, chapter 13; paired as in Koehn, 2004). Pure numpy.
"""

from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
CONFIDENCE = 0.95
# Resampled scores held at once: 32 MiB of float64, so that large data sets fit in memory.
BLOCK = 2**22


@dataclass(frozen=True)
class Interval:
    """A mean with the two ends of its bootstrap interval, in the unit of the scores."""

    mean: float
    low: float
    high: float


def mean_and_std(scores: np.ndarray) -> tuple[float, float | None]:
    """Mean score, and standard deviation (ddof=1) over seeds of the mean over inputs.

    Args:
        scores: [S, N], one row for each sampling seed.

    Returns:
        The mean over all, and the standard deviation; None for one seed, which shows no spread.

    Raises:
        ValueError: if the scores have another shape, are empty or not finite.
    """
    per_seed = _check(scores, dimensions=2).mean(axis=1)
    std = float(per_seed.std(ddof=1)) if len(per_seed) > 1 else None
    return float(per_seed.mean()), std


def bootstrap_interval(
    scores: np.ndarray, seed: int = 0, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> Interval:
    """Percentile bootstrap interval over inputs of the mean score.

    Scores of an input are first averaged over seeds: inputs are what is drawn again, seeds are not.

    Args:
        scores: [S, N], one row for each sampling seed.
        seed: of the generator; the same seed and N draw the same inputs.
        resamples: how many data sets of N inputs are drawn, with replacement.
        confidence: share of resampled means between the two ends.

    Raises:
        ValueError: if the scores have another shape, are empty or not finite.
    """
    return _bootstrap(_check(scores, dimensions=2).mean(axis=0), seed, resamples, confidence)


def paired_bootstrap(
    scores: np.ndarray,
    baseline: np.ndarray,
    seed: int = 0,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Bootstrap interval of the mean difference `scores - baseline` on the same inputs.

    Each resample draws inputs, and with an input the scores of both models, so what makes an input
    hard for both cancels out.

    Args:
        scores: [N], one score for each input (averaged over seeds).
        baseline: [N], the other model's, for the same inputs in the same order.
        seed, resamples, confidence: as in `bootstrap_interval`.

    Raises:
        ValueError: if the two have different lengths, other shapes, are empty or not finite.
    """
    scores, baseline = _check(scores, dimensions=1), _check(baseline, dimensions=1)
    if len(scores) != len(baseline):
        raise ValueError(
            f"{len(scores)} scores cannot be paired with {len(baseline)}; "
            "give the scores of two models for the same inputs"
        )
    return _bootstrap(scores - baseline, seed, resamples, confidence)


def _bootstrap(values: np.ndarray, seed: int, resamples: int, confidence: float) -> Interval:
    """Percentile interval of the mean of values [N], drawn again with replacement."""
    generator = np.random.default_rng(seed)
    rows = max(1, BLOCK // len(values))
    means = []  # blocks of [R]
    for start in range(0, resamples, rows):
        shape = (min(rows, resamples - start), len(values))
        drawn = generator.integers(len(values), size=shape)  # [R, N]
        means.append(values[drawn].mean(axis=1))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return Interval(float(values.mean()), float(low), float(high))


def _check(scores: np.ndarray, dimensions: int) -> np.ndarray:
    """The scores as float64, refused if they cannot be averaged."""
    scores = np.asarray(scores, dtype=np.float64)
    shape = "[seeds, inputs]" if dimensions == 2 else "[inputs]"
    if scores.ndim != dimensions or scores.size == 0:
        raise ValueError(f"scores have shape {list(scores.shape)}; give a non-empty {shape}")
    if not np.isfinite(scores).all():
        raise ValueError(
            f"{np.count_nonzero(~np.isfinite(scores))} of {scores.size} scores are not finite; "
            "every input needs a score"
        )
    return scores
