"""What counts as an answer of the judge, and what the scores of a result are."""

import numpy as np
import pytest

from minillm.evaluation.statistics import paired_bootstrap
from minillm.judging.ask import Verdict
from minillm.judging.questions import Pair, Question, read_scores
from minillm.judging.scores import judge_metric, score_array, score_summary, win_summary


@pytest.mark.parametrize(
    ("answer", "scores"),
    [
        ("7 4", (7, 4)),
        ("\n  7.5, 10 \nBecause.", (7.5, 10)),
        ("<think>\n3 3\nWell.</think>\n\n8 2\nBecause.", (8, 2)),
        ("0 5", None),
        ("11 5", None),
        ("7", None),
        ("7 4 3", None),
        ("7/10 4/10", None),
        ("Scores: 7 4", None),
        ("Assistant 1 is better.\n7 4", None),
        ("-7 4", None),
        ("7 4.", None),
        ("", None),
        ("<think>7 4", None),
    ],
)
def test_only_two_numbers_in_the_first_line_are_scores(answer, scores):
    assert read_scores(answer) == scores


def test_texts_are_shown_as_they_are():
    text = Question("a {task}", "{first}", "%s {}").text()
    assert all(part in text for part in ("a {task}", "{first}", "%s {}"))


def verdicts_of(scores: np.ndarray) -> tuple[list[list[Pair]], dict[Question, Verdict]]:
    """Pairs with these scores [S, N, 2, 2]: order, and model and reference; NaN for no scores."""
    passes, verdicts = [], {}
    for s, of_seed in enumerate(scores):
        pairs = [Pair(f"task {n}", f"response {s}", f"reference {n}") for n in range(len(of_seed))]
        passes.append(pairs)
        for pair, (first, second) in zip(pairs, of_seed, strict=True):
            for question, values in zip(pair.questions, (first, second[::-1]), strict=True):
                missing = np.isnan(values).any()
                verdicts[question] = Verdict(None if missing else tuple(values), ())
    return passes, verdicts


SCORES = np.random.default_rng(0).integers(1, 11, (2, 40, 2, 2)).astype(float)


def test_the_score_is_the_ratio_of_totals():
    scores = SCORES.copy()
    scores[0, 3, 1] = np.nan  # one order has no answer, so the input does not count for this seed
    passes, verdicts = verdicts_of(scores)
    assert np.array_equal(score_array(passes, verdicts)[1], scores[1])
    metric = judge_metric(passes, ["10", "20"], verdicts, greedy=passes[1], inputs=50)
    counted = np.delete(scores[0], 3, axis=0)
    totals = [of_seed[..., 0].sum() / of_seed[..., 1].sum() for of_seed in (counted, scores[1])]
    assert metric.per_seed == pytest.approx({"10": 100 * totals[0], "20": 100 * totals[1]})
    model, reference = np.concatenate([counted, scores[1]]).sum(axis=(0, 1))
    assert metric.mean == pytest.approx(100 * model / reference)
    assert metric.greedy == pytest.approx(100 * totals[1])
    assert metric.ci_low < metric.mean < metric.ci_high
    assert len(metric.per_input) == len(metric.weights) == 50 and metric.weights[40:] == [0] * 10
    arrays = np.array(metric.per_input), np.array(metric.weights)
    same = paired_bootstrap(arrays[0], arrays[0], arrays[1], arrays[1])  # as a report does
    assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_inputs_without_scores_do_not_widen_the_interval():
    scores = SCORES[:1].copy()
    few = judge_metric(*_with_names(scores[:, :5]), greedy=None, inputs=5)
    scores[:, 5:] = np.nan
    metric = judge_metric(*_with_names(scores), greedy=None, inputs=40)
    assert (metric.mean, metric.ci_low, metric.ci_high) == (few.mean, few.ci_low, few.ci_high)
    summary = score_summary(score_array(*verdicts_of(scores)))
    assert summary["missing"] == 35 and summary["score"] == scores[0, :5, :, 0].mean()


def test_a_seed_without_scores_does_not_count():
    """It has no mean, rather than the mean 0."""
    scores = SCORES.copy()
    scores[1] = np.nan
    passes, verdicts = verdicts_of(scores)
    metric = judge_metric(passes, ["10", "20"], verdicts, greedy=None, inputs=40)
    alone = judge_metric(passes[:1], ["10"], verdicts, greedy=None, inputs=40)
    assert (metric.mean, metric.ci_low, metric.ci_high) == pytest.approx(
        (alone.mean, alone.ci_low, alone.ci_high)
    )
    assert (metric.per_seed, metric.std) == (alone.per_seed, None)
    effects = [score_summary(x)["order_effect"] for x in (scores, scores[:1])]
    wins = [win_summary(x) | {"missing": 0} for x in (scores, scores[:1])]
    assert effects[0] == pytest.approx(effects[1]) and wins[0] == pytest.approx(wins[1])


def _with_names(scores: np.ndarray):
    passes, verdicts = verdicts_of(scores)
    return passes, ["1"], verdicts


def test_without_any_scores_there_is_no_metric():
    passes, verdicts = verdicts_of(np.full((1, 3, 2, 2), np.nan))
    assert judge_metric(passes, ["1"], verdicts, greedy=passes[0], inputs=3) is None
    assert score_summary(score_array(passes, verdicts))["score"] is None
    assert win_summary(score_array(passes, verdicts))["win_rate"] is None


def test_a_judge_that_prefers_the_first_answer_is_seen_and_has_no_effect():
    scores = np.tile([[9.0, 3.0], [3.0, 9.0]], (1, 20, 1, 1))
    summary = score_summary(scores)
    assert summary["order_effect"] == {"mean": 6, "ci_low": 6, "ci_high": 6}
    assert (summary["ratio_if_first"], summary["ratio_if_second"]) == (300, pytest.approx(100 / 3))
    assert summary["score"] == summary["reference_score"] == 6
    wins = win_summary(scores)
    assert (wins["ties"], wins["win_rate"]) == (100, 50)


def test_win_rates_count_ties_as_half():
    scores = SCORES.copy()
    scores[1, 0, 0] = np.nan
    wins = win_summary(scores)
    totals = scores.sum(axis=2)
    difference = (totals[..., 0] - totals[..., 1])[np.isfinite(totals[..., 0])]
    assert wins["missing"] == 1
    assert wins["wins"] == pytest.approx(100 * np.mean(difference > 0))
    assert wins["wins"] + wins["ties"] + wins["losses"] == pytest.approx(100)
    assert wins["ci_low"] < wins["win_rate"] < wins["ci_high"]
