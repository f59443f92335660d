"""Diversity within a prompt, by hand and against the definition of BLEU."""

import math

import numpy as np
import pytest

from minillm.evaluation.within_prompt import distinct_within, self_bleu


def test_distinct_ngrams_are_counted_within_each_prompt():
    first = ["a b c d e", "a b c d", "x y"]
    second = ["a b c d f", "a b c d", "x y"]
    shares, counts = distinct_within([first, second])
    # Prompt 1: abcd twice, bcde, bcdf: 3 of 4. Prompt 2: 1 of 2. Prompt 3 has no 4-grams.
    assert shares.tolist() == [0.75, 0.5, 0] and counts.tolist() == [4, 2, 0]
    assert np.average(shares, weights=counts) == pytest.approx(4 / 6)


def test_self_bleu_of_equal_and_disjoint_responses():
    samples = [["a b c d e", "a b", "", "", "a b c"], ["a b c d e", "c d", "", "a", "a b c"]]
    assert self_bleu(samples).tolist() == [100, 0, 100, 0, 100]


def test_self_bleu_by_hand():
    # Against each other: 5 of 6 words, 4 of 5, 3 of 4 and 2 of 3 longer n-grams; equal lengths.
    value = self_bleu([["a b c d e f"], ["a b c d e g"]])
    assert value == pytest.approx([100 * math.exp(np.mean(np.log([5 / 6, 4 / 5, 3 / 4, 2 / 3])))])
    # Smoothing: no common 3-grams or 4-grams count as 0.1 matches.
    value = self_bleu([["a b c d"], ["a b x y"]])
    assert value == pytest.approx([100 * math.exp(np.mean(np.log([2 / 4, 1 / 3, 0.1 / 2, 0.1])))])
