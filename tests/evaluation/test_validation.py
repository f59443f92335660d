"""Scores that a validation computes only if they select the best checkpoint."""

import math

import numpy as np
import pytest

from minillm.config import TrainingConfig
from minillm.evaluation.scoring import score
from minillm.evaluation.validation import validate
from minillm.evaluation.within_prompt import distinct_within
from minillm.sampling.sampler import Decoding
from tests.evaluation.test_frontier import EXAMPLES, LENGTH, MODEL


def scores(max_length: int = LENGTH, **training) -> dict[str, float]:
    settings = TrainingConfig(validation_seeds=[10], frontier=[0.5, 1.0], **training)
    return validate(MODEL, teacher=None, examples=EXAMPLES, decoding=Decoding(max_length),
                    training=settings, batch_size=3)  # fmt: skip


def at_temperature(temperature: float) -> tuple[float, float]:
    """Diversity and ROUGE-L of two responses per prompt."""
    passes = [score(MODEL, None, EXAMPLES, Decoding(LENGTH, temperature), seed=seed, batch_size=3)
              for seed in (10, 11)]  # fmt: skip
    shares, counts = distinct_within([each.responses.texts for each in passes])
    return np.average(shares, weights=counts), np.mean([p.summary()["rougeL"] for p in passes])


def test_they_cost_nothing_unless_they_are_chosen():
    assert not {"greedy", "frontier"} & set(scores())
    assert "frontier" not in scores(select_by="greedy")


def test_greedy_is_the_score_of_greedy_decoding():
    greedy = score(MODEL, None, EXAMPLES, Decoding(LENGTH, 0.0), seed=0, batch_size=3)
    assert scores(select_by="greedy")["greedy"] == greedy.summary()["rougeL"]


def test_the_frontier_is_interpolated_at_the_diversity():
    (low, at_low), (high, at_high) = at_temperature(0.5), at_temperature(1.0)
    assert low < high
    value = scores(select_by="frontier", frontier_diversity=(low + high) / 2)["frontier"]
    assert value == pytest.approx((at_low + at_high) / 2)
    assert scores(select_by="frontier", frontier_diversity=high)["frontier"] == at_high


def test_diversities_out_of_range(caplog):
    below = scores(select_by="frontier", frontier_diversity=0.01)
    assert below["frontier"] == below["greedy"] and not caplog.text
    above = scores(select_by="frontier", frontier_diversity=1.0)
    assert math.isnan(above["frontier"])
    assert "below training.frontier_diversity=1" in caplog.text


def test_responses_without_four_words_have_no_frontier(caplog):
    settings = {"select_by": "frontier", "frontier_diversity": 0.8}
    assert math.isnan(scores(max_length=3, **settings)["frontier"])
    assert "no response has four words" in caplog.text
    assert "Lower training.frontier_diversity" not in caplog.text
