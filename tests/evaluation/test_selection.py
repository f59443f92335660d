"""`training.select_by`: every score selects in its direction; names that cannot are refused."""

import math

import pytest

from minillm.errors import InputError
from minillm.evaluation.metrics import METRICS
from minillm.evaluation.selection import best, check_select_by, is_best, score_line, shown_score
from tests.evaluation.toy import Letters

HISTORY = [
    {"step": 0, "loss": 2.0, "rougeL": 10.0, "reverse_kl": math.nan},
    {"step": 1, "loss": 1.0, "rougeL": 30.0, "reverse_kl": 0.5},
    {"step": 2, "loss": 1.0, "rougeL": 30.0, "reverse_kl": 0.2},
    {"step": 3, "loss": 3.0, "rougeL": 20.0, "reverse_kl": 0.3},
]


@pytest.mark.parametrize(
    ("name", "steps"),
    {
        "rougeL": [0, 1, 1, 1],  # the earliest of equal scores
        "loss": [0, 1, 1, 1],
        "reverse_kl": [0, 1, 2, 2],  # a number is better than nan
        "last": [0, 1, 2, 3],
    }.items(),
)
def test_the_best_so_far(name, steps):
    for count, step in enumerate(steps, start=1):
        assert best(HISTORY[:count], name)["step"] == step
        assert is_best(HISTORY[:count], name) == (step == count - 1)


def test_every_metric_with_a_direction_selects(monkeypatch):
    monkeypatch.setitem(METRICS, "letterCount", Letters())
    for name, metric in METRICS.items():
        history = [{"step": 0, name: 1.0}, {"step": 1, name: 2.0}]
        if metric.higher_is_better is None or not metric.is_cheap:
            with pytest.raises(InputError):
                check_select_by(name)
        else:
            check_select_by(name)
            assert best(history, name)["step"] == metric.higher_is_better
    assert shown_score("letterCount").label == "letters" and shown_score("last").label == "ROUGE-L"


@pytest.mark.parametrize(
    ("name", "message"),
    {
        "rouge": r"'rouge'. Did you mean 'rougeL'\? Allowed: .*exact_match.*last, loss",
        "length": r"=length .*neither a higher nor a lower length is better. Use one of loss, rou",
        "letterCount": r"=letterCount .*do not compute",
    }.items(),
)
def test_names_that_cannot_select(monkeypatch, name, message):
    expensive = Letters()
    expensive.is_cheap = False
    monkeypatch.setitem(METRICS, "letterCount", expensive)
    with pytest.raises(InputError, match=message):
        check_select_by(name)


def test_the_reverse_kl_needs_a_teacher():
    check_select_by("reverse_kl", has_teacher=True)
    for refuse in (
        lambda: check_select_by("reverse_kl", has_teacher=False),
        lambda: best([{"step": 0, "loss": 1.0}], "reverse_kl"),
    ):
        with pytest.raises(
            InputError, match=r"select_by=reverse_kl needs a teacher.*teacher.path="
        ):
            refuse()
    with pytest.raises(InputError, match="this validation has only loss"):
        best([{"step": 0, "loss": 1.0}], "rougeL")


def test_the_log_shows_a_few_scores():
    scores = {"loss": 1.5, "rougeL": 20.04, "length": 7.0, "distinct_4": 90.0, "exact_match": 3.0}
    assert score_line(scores, "last") == "loss 1.500, ROUGE-L 20.0, length 7.0"
    assert (
        score_line(scores, "exact_match") == "loss 1.500, ROUGE-L 20.0, exact match 3.0, length 7.0"
    )


def test_without_any_score_the_last_checkpoint_is_the_best(caplog):
    history = [{"step": 0, "frontier": None}, {"step": 1, "frontier": math.nan}]
    assert best(history, "frontier")["step"] == 1 and is_best(history, "frontier")
    assert "no validation has a score for training.select_by=frontier yet" in caplog.text
    assert best([*history, {"step": 2, "frontier": 0.0}, history[0]], "frontier")["step"] == 2
    assert not is_best([{"step": 0, "frontier": 1.0}, *history], "frontier")


def test_greedy_and_frontier_select():
    for name in ("greedy", "frontier"):
        check_select_by(name, has_teacher=False)
        history = [{"step": i, name: value} for i, value in enumerate([1.0, 3.0, math.nan])]
        assert best(history, name)["step"] == 1
