"""Estimates of KL[q || p] of whole responses from samples: Schulman's k1, k2 and k3.

Source: http://joschu.net/blog/kl-approx.html. All functions take log-probabilities `[B, T]` of the
sampled tokens and return one estimate per response, `[B]`, in nats. The samples must be those of
the student; over samples of the mixture, all three estimates are biased. An estimate is a sum over
tokens, not a mean, because the KL of responses grows with their length. If the distributions over
the vocabulary are available, `divergences.reverse_kl` summed over tokens estimates the same KL
without the randomness of y_t.
"""

import torch
from torch import Tensor

from minillm.objectives.precision import LOG_WEIGHT_MAX, finite


def _log_ratios(student_log_probs: Tensor, teacher_log_probs: Tensor, mask: Tensor) -> Tensor:
    """log p(y_t) - log q(y_t), and 0 on padding, where all three estimators are then 0."""
    return torch.where(mask.bool(), finite(teacher_log_probs) - finite(student_log_probs), 0.0)


def k1(student_log_probs: Tensor, teacher_log_probs: Tensor, mask: Tensor) -> Tensor:
    """Sum of log q - log p: unbiased; the only estimate that may be negative."""
    return -_log_ratios(student_log_probs, teacher_log_probs, mask).sum(-1)


def k2(student_log_probs: Tensor, teacher_log_probs: Tensor, mask: Tensor) -> Tensor:
    """Sum of (log q - log p)^2 / 2: biased; the bias is small if q and p are close."""
    return _log_ratios(student_log_probs, teacher_log_probs, mask).square().sum(-1) / 2


def k3(student_log_probs: Tensor, teacher_log_probs: Tensor, mask: Tensor) -> Tensor:
    """Sum of p / q - 1 - log(p / q): unbiased if q excludes no token that p allows.

    This is `reverse_kl` of a collection in the official code. p / q has no bound: one token that is
    unlikely for the student but not for the teacher can be larger than all others together.
    """
    ratios = _log_ratios(student_log_probs, teacher_log_probs, mask)
    return (ratios.clamp(max=LOG_WEIGHT_MAX).exp() - 1 - ratios).sum(-1)
