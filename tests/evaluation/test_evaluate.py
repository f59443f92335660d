"""From the values of each seed to the metrics of a result."""

import numpy as np
import pytest

from minillm.evaluation.evaluate import Evaluation, metric_results, response_rows
from minillm.evaluation.metrics import METRICS
from minillm.evaluation.responses import Responses
from minillm.evaluation.scoring import Scores, Values
from tests.evaluation.test_metrics import EXAMPLES, RESPONSES


def scores(**kl: np.ndarray) -> Scores:
    """The scores of the responses of test_metrics.py, with or without a reverse KL."""
    responses = Responses(RESPONSES.texts, RESPONSES.lengths, RESPONSES.finished, **kl)
    values = {}
    for name in ("rougeL", "reverse_kl"):
        per_input = METRICS[name].score(responses, EXAMPLES)
        weights = METRICS[name].weights(responses)
        values[name] = None if per_input is None else Values(per_input, weights)
    return Scores(responses, values)


def test_metrics_of_two_seeds_and_greedy():
    first = scores(reverse_kl=np.array([2.0, 0.3, 0.6, 0.1]))  # 0.3 nats per token
    second = scores(reverse_kl=np.array([4.0, 0.6, 1.2, 0.2]))
    results = metric_results(Evaluation({10: first, 20: second}, scores(), 1.0))
    kl, rouge = results["reverse_kl"], results["rougeL"]
    assert kl.mean == pytest.approx(0.45) and kl.std == pytest.approx(0.3 / 2**0.5)
    assert kl.per_seed == pytest.approx({"10": 0.3, "20": 0.6})
    assert kl.per_input == pytest.approx([0.75, 0.15, 0.45, 0.15])
    assert kl.weights == [4.0, 3.0, 2.0, 1.0] and kl.greedy is None
    assert kl.ci_low < kl.mean < kl.ci_high
    assert rouge.mean == rouge.greedy == 75.0 and rouge.weights is None


@pytest.mark.parametrize("kl", [{}, {"reverse_kl": np.array([1.0, np.nan, 1.0, 1.0])}])
def test_a_metric_that_cannot_be_computed_is_none(kl, caplog):
    caplog.set_level("INFO")
    results = metric_results(Evaluation({10: scores(**kl)}, None, 1.0))
    assert results["reverse_kl"] is None and results["rougeL"].mean == 75.0
    assert "1 of 4 values are not finite" in caplog.text if kl else "needs a teacher" in caplog.text


def test_rows_hold_the_values_of_each_response():
    with_kl = scores(reverse_kl=np.array([2.0, 0.3, 0.6, 0.1]))
    rows = response_rows(Evaluation({10: with_kl}, scores(), 1.0), EXAMPLES)
    assert [row["seed"] for row in rows] == [10] * 4 + ["greedy"] * 4
    assert rows[0]["response"] == "the cat" and rows[0]["references"] == ["a red cat", "the cat"]
    assert (rows[0]["rougeL"], rows[0]["reverse_kl"]) == (100.0, 0.5)
    assert "reverse_kl" not in rows[4]
