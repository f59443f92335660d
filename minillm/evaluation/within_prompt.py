"""Diversity within a prompt: how different the S responses of a model to one prompt are.

Diversity of all responses together also grows with the diversity of the prompts. Within a prompt,
only the randomness of the model counts. Identical responses have a share of distinct n-grams near
1/S and a self-BLEU of 100. Both values depend on S, so they are comparable for equal S only.
"""

from collections.abc import Sequence

import numpy as np
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from minillm.evaluation.ngrams import distinct_shares, ngram_counts
from minillm.evaluation.statistics import weighted_mean

WORDS = 4  # in an n-gram, as in table 3 of the paper


def distinct_within(samples: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Share of distinct 4-grams of words among the 4-grams of all responses to a prompt.

    Args:
        samples: S lists of N texts, one text for each of N prompts.

    Returns:
        The shares `[N]`, from 0 to 1, and the numbers of 4-grams of each prompt `[N]`. The mean of
        the shares, weighed by these numbers, is the number of distinct 4-grams of all prompts
        divided by the number of all 4-grams. A prompt without 4-grams has share and weight 0.
    """
    shares, counts = [], []
    for texts in zip(*samples, strict=True):
        text_counts = ngram_counts(texts, WORDS)
        shares.append(float(weighted_mean(distinct_shares(texts, WORDS), text_counts)))
        counts.append(float(text_counts.sum()))
    return np.array(shares), np.array(counts)


def self_bleu(samples: Sequence[Sequence[str]]) -> np.ndarray:
    """Mean BLEU-4 of each response to a prompt against the other responses (arXiv 1802.01886).

    BLEU is that of `nltk`: sentence BLEU of words that white space separates, with smoothing method
    1 of Chen and Cherry (2014), which replaces 0 matches by 0.1. A response of k < 4 words has
    n-grams of up to k words. An empty response has BLEU 100 if another response is empty, else 0.

    Args:
        samples: S lists of N texts, one text for each of N prompts; S is at least 2.

    Returns:
        `[N]`, from 0 (no common words) to 100 (identical responses).
    """
    by_prompt = zip(*([text.split() for text in texts] for texts in samples), strict=True)
    return np.array([_self_bleu_of_prompt(texts) for texts in by_prompt])


def _self_bleu_of_prompt(texts: Sequence[list[str]]) -> float:
    scores = [_bleu(text, [*texts[:i], *texts[i + 1 :]]) for i, text in enumerate(texts)]
    return 100.0 * sum(scores) / len(scores)


def _bleu(text: list[str], others: Sequence[list[str]]) -> float:
    """From 0 to 1. Equal texts need no n-grams: BLEU is exactly 1."""
    if text in others:
        return 1.0
    smoothing = SmoothingFunction().method1
    return sentence_bleu(others, text, smoothing_function=smoothing, auto_reweigh=True)
