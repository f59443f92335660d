"""Distinct n-grams, a measure of diversity of a set of texts (Li et al., 2016, arXiv 1510.03055).

The share of a set of texts is the number of different n-grams divided by the number of all n-grams.
Words are separated by white space; case and punctuation count.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np


def distinct_shares(texts: Sequence[str], n: int) -> np.ndarray:
    """The contribution of each text to the share of distinct n-grams of all texts.

    Each occurrence of an n-gram counts 1/c if the n-gram occurs c times in all texts. The value of
    a text is the mean over its n-grams. The mean over texts, weighed by `ngram_counts`, is then
    exactly the share of the set of texts.

    Args:
        texts: N texts, such as all responses of a model, or several responses to one prompt.
        n: words in an n-gram.

    Returns:
        float64 `[N]`, from 0 to 1; 0 for a text of fewer than n words.
    """
    ngrams = [_ngrams(text, n) for text in texts]
    occurrences = Counter(ngram for text_ngrams in ngrams for ngram in text_ngrams)
    shares = np.zeros(len(texts))
    for i, text_ngrams in enumerate(ngrams):
        if text_ngrams:
            parts = [1 / occurrences[ngram] for ngram in text_ngrams]
            shares[i] = sum(parts) / len(parts)
    return shares


def ngram_counts(texts: Sequence[str], n: int) -> np.ndarray:
    """The number of n-grams in each text, float64 `[N]`."""
    return np.array([max(len(text.split()) - n + 1, 0) for text in texts], dtype=np.float64)


def _ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    words = text.split()
    return list(zip(*(words[i:] for i in range(n)), strict=False))
