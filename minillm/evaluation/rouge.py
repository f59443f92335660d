"""ROUGE-L of responses against their references, the paper's score (section 3.1).

Everything that decides a value is left to the `rouge-score` library: F-measure of the longest
common subsequence of stemmed words, times 100, best over the references of an input. Stemming
takes most of the library's time, and the same references come back for every sampling seed and
every validation, so stems of words and words of texts are remembered; the values stay the
library's own, bit for bit.
"""

from collections.abc import Sequence
from functools import lru_cache
from types import SimpleNamespace

import numpy as np
from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenize import tokenize

# What is remembered at most, to bound memory; beyond it, the least recently used is forgotten.
WORDS_KEPT = 2**17
TEXTS_KEPT = 2**14

_stemmer = SimpleNamespace(stem=lru_cache(maxsize=WORDS_KEPT)(PorterStemmer().stem))


@lru_cache(maxsize=TEXTS_KEPT)
def _words(text: str) -> tuple[str, ...]:
    """The stemmed words of a text, as the library's default tokenizer gives them."""
    return tuple(tokenize(text, _stemmer))


_scorer = RougeScorer(["rougeL"], tokenizer=SimpleNamespace(tokenize=_words))


def rouge_l(responses: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """Score N responses with ROUGE-L, each against the closest of its references.

    Args:
        responses: N texts; an empty one scores 0.
        references: N sequences of at least one text each.

    Returns:
        float64 array [N], from 0 to 100.

    Raises:
        ValueError: if the lengths differ, or an input has no reference.
    """
    if len(responses) != len(references):
        raise ValueError(
            f"{len(responses)} responses were given with {len(references)} lists of references; "
            "give one list of references for each response"
        )
    scores = np.empty(len(responses))
    for i, (response, answers) in enumerate(zip(responses, references, strict=True)):
        if isinstance(answers, str) or not answers:
            raise ValueError(
                f"the references of input {i} are {answers!r}; give a sequence of at least one text"
            )
        scores[i] = 100 * max(_scorer.score(a, response)["rougeL"].fmeasure for a in answers)
    return scores
