"""The scores of a result: the figure of the paper, the effect of the order, and win rates.

The paper reports the total of the scores of the model divided by the total of the scores of the
references, in percent. This is the mean of the ratios of the inputs, weighed by the scores of the
references. So the score of the judge is a metric like the others, with values and weights of the
inputs. An input counts if both orders of presentation have an answer; each score is then the mean
over both orders.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minillm.evaluation.result import MetricResult
from minillm.evaluation.statistics import (
    Interval,
    average_over_seeds,
    bootstrap_interval,
    mean_and_std,
    weighted_mean,
)
from minillm.judging.ask import Verdict
from minillm.judging.questions import Pair, Question

# The last axis of the scores, and the last but one.
MODEL, OTHER = 0, 1
FIRST, SECOND = 0, 1


def score_array(
    passes: Sequence[Sequence[Pair]], verdicts: Mapping[Question, Verdict]
) -> np.ndarray:
    """All scores `[S, N, 2, 2]`: seeds, inputs, order, model and other answer.

    In order `FIRST`, the judge reads the model's response first. An input without an answer in one
    of the orders is NaN.
    """
    scores = np.full((len(passes), len(passes[0]), 2, 2), np.nan)
    for s, pairs in enumerate(passes):
        for n, pair in enumerate(pairs):
            first, second = (verdicts[question].scores for question in pair.questions)
            if first and second:
                scores[s, n] = first, second[::-1]
    return scores


def judge_metric(
    passes: Sequence[Sequence[Pair]],
    names: Sequence[str],
    verdicts: Mapping[Question, Verdict],
    greedy: Sequence[Pair] | None,
    inputs: int,
) -> MetricResult | None:
    """The ratio of the totals in percent, as a metric of a result.

    Args:
        passes: the pairs of each sampling seed, for the first inputs.
        names: the seeds, as texts.
        verdicts: the verdicts on all questions.
        greedy: the pairs of greedy decoding, if they were judged.
        inputs: number of inputs of the result. Inputs that were not judged have the weight 0.

    Returns:
        None if no input has an answer in both orders. A seed without such an input is not in
        `per_seed`.
    """
    values, weights = ratios(score_array(passes, verdicts))  # [S, N']
    if not weights.any():
        return None
    interval = _interval(values, weights)
    per_input, input_weights = average_over_seeds(values, weights)
    has_scores = weights.any(axis=1)  # [S]
    seeds = [name for name, is_scored in zip(names, has_scores, strict=True) if is_scored]
    _, std = mean_and_std(values[has_scores], weights[has_scores])
    means = weighted_mean(values[has_scores], weights[has_scores]).tolist()
    rest = [0.0] * (inputs - len(per_input))
    ratio_of_greedy = None
    if greedy is not None:
        greedy_values, greedy_weights = ratios(score_array([greedy], verdicts))
        if greedy_weights.any():
            ratio_of_greedy = float(weighted_mean(greedy_values, greedy_weights)[0])
    return MetricResult(
        mean=interval.mean,
        std=std,
        ci_low=interval.low,
        ci_high=interval.high,
        per_seed=dict(zip(seeds, means, strict=True)),
        greedy=ratio_of_greedy,
        per_input=per_input.tolist() + rest,
        weights=input_weights.tolist() + rest,
    )


def ratios(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ratio of each input in percent, and its weight: both 0 for an input without scores.

    Args:
        scores: `[S, N, 2, 2]` of `score_array`, or `[S, N, 1, 2]` for one order.

    Returns:
        Ratios and weights, `[S, N]`.
    """
    means = np.nan_to_num(scores.mean(axis=2))  # [S, N, 2]
    weights = means[..., OTHER]
    ratio = np.divide(means[..., MODEL], weights, out=np.zeros_like(weights), where=weights > 0)
    return 100.0 * ratio, weights


def score_summary(scores: np.ndarray) -> dict[str, Any]:
    """Means over the inputs with scores, and the effect of the order; None without such inputs.

    Args:
        scores: `[S, N, 2, 2]` of `score_array`.

    Returns:
        The mean scores of model and references, the ratio in each order, the advantage of the
        answer that is read first (in points, with its interval over inputs), and the number of
        inputs without scores, over all seeds.
    """
    counted = np.isfinite(scores).all(axis=(2, 3))  # [S, N]
    summary: dict[str, Any] = {"missing": int((~counted).sum())}
    if not counted.any():
        return summary | dict.fromkeys(
            ("score", "reference_score", "ratio_if_first", "ratio_if_second", "order_effect")
        )
    by_order = scores[counted].mean(axis=0)  # [2, 2]
    # Half of the difference between an answer that is read first and an answer that is read second.
    first = scores[:, :, FIRST, MODEL] + scores[:, :, SECOND, OTHER]
    second = scores[:, :, FIRST, OTHER] + scores[:, :, SECOND, MODEL]
    effect = _interval(np.nan_to_num((first - second) / 2), counted.astype(float))
    return summary | {
        "score": float(by_order[:, MODEL].mean()),
        "reference_score": float(by_order[:, OTHER].mean()),
        "ratio_if_first": 100 * float(by_order[FIRST, MODEL] / by_order[FIRST, OTHER]),
        "ratio_if_second": 100 * float(by_order[SECOND, MODEL] / by_order[SECOND, OTHER]),
        "order_effect": {"mean": effect.mean, "ci_low": effect.low, "ci_high": effect.high},
    }


def win_summary(scores: np.ndarray) -> dict[str, Any]:
    """How often a response has a better score than the response of another model.

    The scores of a response are added over both orders, so a judge that only prefers the first
    answer causes ties. A tie is half a win.

    Args:
        scores: `[S, N, 2, 2]` of `score_array`.

    Returns:
        The shares of wins, ties and losses in percent, the win rate with its interval over inputs,
        and the number of inputs without scores, over all seeds.
    """
    counted = np.isfinite(scores).all(axis=(2, 3))  # [S, N]
    summary: dict[str, Any] = {"missing": int((~counted).sum())}
    if not counted.any():
        return summary | dict.fromkeys(("wins", "ties", "losses", "win_rate", "ci_low", "ci_high"))
    totals = scores.sum(axis=2)  # [S, N, 2]
    signs = np.sign(np.nan_to_num(totals[..., MODEL] - totals[..., OTHER]))
    interval = _interval(50.0 * (signs + 1), counted.astype(float))
    shares = {
        name: 100 * float((signs[counted] == sign).mean())
        for name, sign in (("wins", 1), ("ties", 0), ("losses", -1))
    }
    return summary | shares | {
        "win_rate": interval.mean, "ci_low": interval.low, "ci_high": interval.high
    }  # fmt: skip


def _interval(values: np.ndarray, weights: np.ndarray) -> Interval:
    """The mean over all seeds and inputs, with its bootstrap interval over inputs.

    The seeds of an input are pooled first. A seed alone may have no scores at all, and would then
    have the mean 0; so may a resample of an input without scores, which is left out.

    Args:
        values, weights: `[S, N]`. The weight is 0 where there is no score.
    """
    pooled, pooled_weights = average_over_seeds(values, weights)
    counted = pooled_weights > 0
    return bootstrap_interval(pooled[None, counted], pooled_weights[None, counted])
