"""Classification by label words: probabilities of the labels, accuracy, and calibration error.

A model without training for the task (zero-shot) gives each label word a probability after the
prompt. The words' probabilities are divided by their sum. The predicted label is the most likely
one, and its probability is the confidence of the model (paper, table 2).
"""

import numpy as np

BINS = 10


def predictions(log_probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The predicted labels `[N]`, and their probabilities among the labels `[N]`.

    Args:
        log_probs: log-probability of each label word, `[N, K]`.
    """
    shifted = np.exp(log_probs - log_probs.max(axis=1, keepdims=True))
    return log_probs.argmax(axis=1), 1.0 / shifted.sum(axis=1)


def calibration_gaps(confidences: np.ndarray, is_right: np.ndarray) -> np.ndarray:
    """The contribution of each input to the expected calibration error; their mean is the ECE.

    ECE = sum over bins of |sum over the inputs of the bin of (is_right - confidence)| / N, for 10
    bins of equal width: (0, 0.1], (0.1, 0.2], ... (Guo et al., 2017, arXiv 1706.04599, equation 3).
    An input contributes `is_right - confidence`, with the sign of the sum of its bin.

    Args:
        confidences: probability of the predicted label, `[N]`.
        is_right: whether the predicted label is right, `[N]`.

    Returns:
        float64 `[N]`, from -1 to 1.
    """
    bins = np.clip(np.ceil(confidences * BINS).astype(np.int64) - 1, 0, BINS - 1)
    gaps = is_right.astype(np.float64) - confidences
    signs = np.sign(np.bincount(bins, gaps, minlength=BINS))
    return signs[bins] * gaps
