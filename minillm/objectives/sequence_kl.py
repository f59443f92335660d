"""KL[q || p] of whole responses from samples: Schulman's k1, k2 and k3, summed over tokens.

http://joschu.net/blog/kl-approx.html. Log-probabilities `[B, T]` of the sampled tokens in, nats
`[B]` out, one estimate for each response. Samples have to be the student's own: over samples of
the mixture every one of them is biased. Sums, not means over tokens: the KL of responses grows
with their length. Where the whole distributions are at hand, `divergences.reverse_kl` summed over
tokens estimates the same without the chance in y_t.
"""

import torch
from torch import Tensor

from minillm.objectives.precision import LOG_WEIGHT_MAX, finite


def _log_ratios(student_log_probs: Tensor, teacher_log_probs: Tensor, mask: Tensor) -> Tensor:
    """log p(y_t) - log q(y_t), 0 on padding, where all three estimators are 0 too."""
    return torch.where(mask.bool(), finite(teacher_log_probs) - finite(student_log_probs), 0.0)


def k1(student_log_probs: Tensor, teacher_log_probs: Tensor, mask: Tensor) -> Tensor:
    """Sum of log q - log p: unbiased; the only one that may be negative."""
    return -_log_ratios(student_log_probs, teacher_log_probs, mask).sum(-1)


def k2(student_log_probs: Tensor, teacher_log_probs: Tensor, mask: Tensor) -> Tensor:
    """Sum of (log q - log p)^2 / 2: biased, by little where q and p are close."""
    return _log_ratios(student_log_probs, teacher_log_probs, mask).square().sum(-1) / 2


def k3(student_log_probs: Tensor, teacher_log_probs: Tensor, mask: Tensor) -> Tensor:
    """Sum of p / q - 1 - log(p / q): unbiased where q excludes nothing that p allows.

    The official code's `reverse_kl` of a collection is this. p / q has no bound: a token that the
    student found unlikely and the teacher did not can outweigh all others.
    """
    ratios = _log_ratios(student_log_probs, teacher_log_probs, mask)
    return (ratios.clamp(max=LOG_WEIGHT_MAX).exp() - 1 - ratios).sum(-1)
