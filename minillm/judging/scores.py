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
        verdicts: of all questions.
        greedy: the pairs of greedy decoding, if they were judged.
        inputs: number of inputs of the result. Inputs that were not judged have the weight 0.

    Returns:
        None if a seed has no input with an answer in both orders.
    """
    values, weights = ratios(score_array(passes, verdicts))  # [S, N']
    if not weights.any(axis=1).all():
        return None
    mean, std = mean_and_std(values, weights)
    counted = weights.any(axis=0)  # a resample of inputs without a score would have no mean
    interval = bootstrap_interval(values[:, counted], weights[:, counted])
    per_input, input_weights = average_over_seeds(values, weights)
    rest = [0.0] * (inputs - len(per_input))
    ratio_of_greedy = None
    if greedy is not None:
        greedy_values, greedy_weights = ratios(score_array([greedy], verdicts))
        if greedy_weights.any():
            ratio_of_greedy = float(weighted_mean(greedy_values, greedy_weights)[0])
    return MetricResult(
        mean=mean,
        std=std,
        ci_low=interval.low,
        ci_high=interval.high,
        per_seed=dict(zip(names, weighted_mean(values, weights).tolist(), strict=True)),
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
    inputs = counted.any(axis=0)
    effect = bootstrap_interval(
        np.nan_to_num((first - second) / 2)[:, inputs], counted[:, inputs].astype(float)
    )
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
    inputs = counted.any(axis=0)
    points = np.nan_to_num(50.0 * (signs + 1))[:, inputs]
    interval = bootstrap_interval(points, counted[:, inputs].astype(float))
    shares = {
        name: 100 * float((signs[counted] == sign).mean())
        for name, sign in (("wins", 1), ("ties", 0), ("losses", -1))
    }
    return summary | shares | {
        "win_rate": interval.mean, "ci_low": interval.low, "ci_high": interval.high
    }  # fmt: skip
