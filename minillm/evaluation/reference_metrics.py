"""Metrics of a model on the gold responses and label words. They read no sampled response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minillm.evaluation.calibration import calibration_gaps, predictions
from minillm.evaluation.metric import Metric
from minillm.evaluation.responses import Responses

if TYPE_CHECKING:  # a report must not import transformers
    from minillm.data.encoding import Example


class LMLoss(Metric):
    """Cross-entropy with the first reference, per token (paper, table 3). No response is read.

    The mean weighed by tokens is the `loss` of a validation during training.
    """

    name = "lm_loss"
    label = "LM loss"
    unit = "nats per token"
    description = "cross-entropy with the first reference, nats per token"
    form = ".3f"
    higher_is_better = False
    is_cheap = False  # in validation, `loss` has the same value
    reads_references = True

    def score(self, responses: Responses, examples: Sequence[Example]) -> np.ndarray | None:
        if responses.references is None:
            return None
        return -responses.references.log_probs / responses.references.lengths

    def weights(self, responses: Responses) -> np.ndarray:
        return responses.references.lengths.astype(np.float64)


def _classified(responses: Responses) -> tuple[np.ndarray, np.ndarray] | None:
    """Whether each predicted label is right, and its probability, `[N]`; None without labels."""
    references = responses.references
    if references is None or references.label_log_probs is None:
        return None
    predicted, confidences = predictions(references.label_log_probs)
    return predicted == references.labels, confidences


class Accuracy(Metric):
    """100 if the most likely label word is the right one, else 0. No response is read."""

    name = "accuracy"
    label = "accuracy"
    unit = "%"
    description = "share of inputs whose most likely label word is right"
    higher_is_better = True
    is_cheap = False
    reads_references = True
    needs_labels = True

    def score(self, responses: Responses, examples: Sequence[Example]) -> np.ndarray | None:
        classified = _classified(responses)
        return None if classified is None else 100.0 * classified[0]


class CalibrationError(Metric):
    """Expected calibration error of the label words, 10 bins, see `calibration.py`.

    The bootstrap resamples the contributions of the inputs, and keeps the sign of each bin.
    """

    name = "ece"
    label = "ECE"
    unit = "0 to 1"
    description = "expected calibration error of the most likely label word, 10 bins"
    form = ".3f"
    higher_is_better = False
    is_cheap = False
    looks_at_all = True
    reads_references = True
    needs_labels = True

    def score(self, responses: Responses, examples: Sequence[Example]) -> np.ndarray | None:
        classified = _classified(responses)
        if classified is None:
            return None
        is_right, confidences = classified
        return calibration_gaps(confidences, is_right)
