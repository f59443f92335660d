"""ROUGE-L of responses against their references, the score of the paper (section 3.1).

The `rouge-score` library computes each value: the F-measure of the longest common subsequence of
stemmed words, times 100, maximum over the references of an input. Stemming takes most of the
library's time, and the same references are scored for every sampling seed and every validation. So
stems of words and words of texts are cached. The values equal the library's values bit for bit.
"""

from collections.abc import Sequence
from functools import lru_cache
from types import SimpleNamespace

import numpy as np
from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenize import tokenize

# Maximum numbers of cached entries, which bound the memory. The least recently used entry is
# removed first.
WORDS_KEPT = 2**17
TEXTS_KEPT = 2**14

_stemmer = SimpleNamespace(stem=lru_cache(maxsize=WORDS_KEPT)(PorterStemmer().stem))


@lru_cache(maxsize=TEXTS_KEPT)
def _words(text: str) -> tuple[str, ...]:
    """The stemmed words of a text, as the library's default tokenizer returns them."""
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
        results = [_scorer.score(answer, response)["rougeL"] for answer in answers]
        scores[i] = 100 * max(result.fmeasure for result in results)
    return scores
