"""The metrics. Each metric is a small class that scores the responses of one decoding pass.

To add a metric, write a class below and add an object of this class to `METRICS`. Result files, the
csv, validation during training, `training.select_by`, `evaluation.metrics` and
`minillm report --metric NAME` find the metric there by its name.

The mean over inputs is `sum of weights * values / sum of weights`. So a metric per token (reverse
KL) and a metric of all responses together (distinct n-grams) also have one value per input. Then
intervals and paired differences are computed in the same way for all metrics (`statistics.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from minillm.errors import InputError, unknown_name
from minillm.evaluation.judge_metric import JudgeScore
from minillm.evaluation.metric import Metric
from minillm.evaluation.ngrams import distinct_shares, ngram_counts
from minillm.evaluation.reference_metrics import Accuracy, CalibrationError, LMLoss
from minillm.evaluation.responses import Responses
from minillm.evaluation.rouge import rouge_l

if TYPE_CHECKING:  # a report must not import transformers
    from minillm.data.encoding import Example


class RougeL(Metric):
    """The score of the paper (section 3.1), see `rouge.py`."""

    name = "rougeL"
    label = "ROUGE-L"
    unit = "0 to 100"
    description = "F-measure of the longest common subsequence with the closest reference"
    higher_is_better = True

    def score(self, responses: Responses, examples: Sequence[Example]) -> np.ndarray:
        return rouge_l(responses.texts, [example.references for example in examples])


class ExactMatch(Metric):
    """100 for a response that equals one of its references, else 0.

    White space at both ends is removed from response and references. Nothing else is normalised:
    case, punctuation and inner white space count.
    """

    name = "exact_match"
    label = "exact match"
    unit = "%"
    description = "share of responses that equal a reference, white space at the ends aside"
    higher_is_better = True

    def score(self, responses: Responses, examples: Sequence[Example]) -> np.ndarray:
        matches = [
            text.strip() in {reference.strip() for reference in example.references}
            for text, example in zip(responses.texts, examples, strict=True)
        ]
        return 100.0 * np.array(matches, dtype=np.float64)


class DistinctNgrams(Metric):
    """Share of distinct n-grams among all n-grams of all responses (paper, table 3, n = 4).

    The value of a response is the mean of 1/c over its n-grams, where c is the number of
    occurrences of the n-gram in all responses. The mean of the values, weighed by the numbers of
    n-grams, is the share of all responses. The bootstrap resamples these values and keeps each c.
    """

    unit = "%"
    higher_is_better = True
    looks_at_all = True

    def __init__(self, n: int) -> None:
        self.n = n
        self.name = f"distinct_{n}"
        self.label = f"distinct {n}-grams"
        self.description = f"share of different {n}-grams of words among those of all responses"

    def score(self, responses: Responses, examples: Sequence[Example]) -> np.ndarray:
        return 100.0 * distinct_shares(responses.texts, self.n)

    def weights(self, responses: Responses) -> np.ndarray:
        return ngram_counts(responses.texts, self.n)


class Length(Metric):
    """Number of tokens of a response, including EOS."""

    name = "length"
    label = "length"
    unit = "tokens"
    description = "mean tokens of a response"
    always_shown = True

    def score(self, responses: Responses, examples: Sequence[Example]) -> np.ndarray:
        return responses.lengths.astype(np.float64)


class Unfinished(Metric):
    """1 for a response that reached the length limit without EOS, else 0."""

    name = "unfinished"
    label = "unfinished"
    unit = "share"
    description = "share of responses that reach the length limit without an end"
    form = ".3f"
    higher_is_better = False

    def score(self, responses: Responses, examples: Sequence[Example]) -> np.ndarray:
        return 1.0 - responses.finished.astype(np.float64)


class Empty(Metric):
    """1 for a response that is nothing but the EOS, else 0."""

    name = "empty"
    label = "empty"
    unit = "share"
    description = "share of responses without a token before their end"
    form = ".3f"
    higher_is_better = False

    def score(self, responses: Responses, examples: Sequence[Example]) -> np.ndarray:
        return ((responses.lengths <= 1) & responses.finished).astype(np.float64)


class ReverseKL(Metric):
    """Exact KL[q || p] over the vocabulary, per token of the response.

    For responses sampled from the student, the mean weighed by length estimates the reverse KL of
    whole sequences, divided by their mean length.
    """

    name = "reverse_kl"
    label = "reverse KL"
    unit = "nats per token"
    description = "from the teacher, nats per token"
    form = ".3f"
    higher_is_better = False
    needs_teacher = True
    always_shown = True

    def score(self, responses: Responses, examples: Sequence[Example]) -> np.ndarray | None:
        if responses.reverse_kl is None:
            return None
        return responses.reverse_kl / responses.lengths

    def weights(self, responses: Responses) -> np.ndarray:
        return responses.lengths.astype(np.float64)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        RougeL(),
        ExactMatch(),
        *(DistinctNgrams(n) for n in (1, 2, 3, 4)),
        Length(),
        Unfinished(),
        Empty(),
        ReverseKL(),
        LMLoss(),
        Accuracy(),
        CalibrationError(),
        JudgeScore(),
    )
}


def cheap_metrics() -> list[str]:
    """Names of the metrics that are computed by default."""
    return [name for name, metric in METRICS.items() if metric.is_cheap]


def check_metrics(names: Iterable[str] | None, setting: str) -> None:
    """Refuse unknown names of metrics. None means the default metrics and is allowed.

    Raises:
        InputError: a name is unknown, or there is no name. The message lists all metrics.
    """
    if names is None:
        return
    names = list(names)
    if not names:
        raise InputError(f"{setting} is empty: name at least one of {', '.join(METRICS)}.")
    for name in names:
        if name not in METRICS:
            raise unknown_name(setting, name, METRICS)


def check_not_judged(names: Iterable[str] | None) -> None:
    """Refuse metrics that no evaluation computes.

    Raises:
        InputError: the message names the command that computes the metric.
    """
    for name in names or ():
        if METRICS[name].needs_judge:
            raise InputError(
                f"evaluation.metrics: {name} is computed after an evaluation, by `minillm judge "
                f"RUN`. Leave it out here."
            )


def check_labels(names: Iterable[str] | None, labels: Mapping[str, str]) -> None:
    """Refuse metrics of label words for data without label words.

    Raises:
        InputError: the message says what to set.
    """
    needed = [name for name in names or () if METRICS[name].needs_labels]
    if needed and not labels:
        raise InputError(
            f"evaluation.metrics: {' and '.join(needed)} need label words, but data.labels is "
            f"empty. Add data=sst2 or data=boolq, or set data.labels, such as "
            f"data.labels.0=negative data.labels.1=positive."
        )
