"""The plans of answers are recognised, and the parts of a difference are exact."""

from random import Random

import pytest

from minillm.data.embedded.families import FAMILIES
from studies.answer_plans import (
    PLANS,
    Answer,
    classifier,
    difference,
    draw_answers,
    families_with_one_plan,
)


def test_plans_of_new_answers_are_recognised():
    classify, rng = classifier(draws=50), Random("test")
    families = [family for family in FAMILIES for _ in range(10)]
    found = [
        classify(family.__name__, text) == plan
        for family in families
        for plan, text in enumerate(draw_answers(family, rng))
    ]
    assert len(found) == len(families) * PLANS
    assert sum(found) >= 0.98 * len(found)


def answers(topic, plan, *scores):
    return [Answer(topic, plan, score, copied=0, to_copy=1) for score in scores]


def test_other_plans_with_the_same_scores_are_a_difference_of_plans():
    first = answers("sort", 0, 80, 80, 80) + answers("sort", 1, 60)
    other = answers("sort", 0, 80, 80) + answers("sort", 1, 60, 60)
    assert difference(other, first) == pytest.approx((-5, 0))


def test_other_scores_of_the_same_plans_are_a_difference_within_plans():
    first = answers("sort", 0, 80) + answers("route", 2, 60)
    other = answers("sort", 0, 90) + answers("route", 2, 60)
    assert difference(other, first) == pytest.approx((0, 5))


def test_both_parts_sum_to_the_difference_of_the_means():
    first = answers("sort", 0, 80, 70) + answers("route", 2, 60, 20)
    other = answers("sort", 1, 50) + answers("route", 0, 30) + answers("route", 2, 90, 40)
    assert sum(difference(other, first)) == pytest.approx(52.5 - 57.5)


def test_families_with_one_plan_are_counted():
    sampled = answers("sort", 0, *[80] * 9) + answers("sort", 1, 60)
    sampled += answers("route", 2, *[60] * 8) + answers("route", 0, 20, 20)
    assert families_with_one_plan(sampled) == 1
