"""ROUGE-L equals the library's value, with and without the cache."""

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from minillm.evaluation.rouge import rouge_l

WORDS = "The the Restaurants restaurant serving served-serves children's café naïve 日本 £20 $ a"


def test_values_equal_those_of_the_library_exactly():
    generator = np.random.default_rng(0)
    words = WORDS.split()

    def text() -> str:
        return " ".join(generator.choice(words, generator.integers(0, 12)))

    responses = [text() for _ in range(60)]
    references = [[text() for _ in range(1 + i % 4)] for i in range(60)]
    plain = RougeScorer(["rougeL"], use_stemmer=True)
    expected = [
        100 * plain.score_multi(answers, response)["rougeL"].fmeasure
        for response, answers in zip(responses, references, strict=True)
    ]
    assert rouge_l(responses, references).tolist() == expected
    assert rouge_l(responses, references).tolist() == expected  # from the cache
    assert 0 < np.mean(expected) < 100


def test_best_reference_counts_and_stems_match():
    scores = rouge_l(["He was walking", "", "日本"], [["no", "he was walked"], ["a"], ["日本"]])
    # The library uses only words of a-z and 0-9.
    assert scores.tolist() == [100.0, 0.0, 0.0]
    assert rouge_l([], []).shape == (0,)


@pytest.mark.parametrize("references", [[], [[]], ["a text"]])
def test_refuses_missing_references(references):
    with pytest.raises(ValueError, match="references"):
        rouge_l(["a"], references)
