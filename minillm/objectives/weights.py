"""Importance weights: what corrects for having sampled from the mixture p~ and not from q.

Log-probabilities `[B, T]` in, weights `[B, T]` out. On padding, where the log-probabilities are 0,
a weight means nothing; losses and metrics mask it.
"""

import torch
from torch import Tensor


def per_step(student_log_probs: Tensor, mixture_log_probs: Tensor) -> Tensor:
    """w_t = q(y_t) / p~(y_t): the paper's choice, biased and of low variance (after eq. 5).

    At most 1 / (1 - alpha), because p~ >= (1 - alpha) q.
    """
    return (student_log_probs - mixture_log_probs).exp()


def cumulative(student_log_probs: Tensor, mixture_log_probs: Tensor) -> Tensor:
    """w_t = product over t' <= t of q(y_t') / p~(y_t'): exact, of a variance that grows with t."""
    return (student_log_probs - mixture_log_probs).cumsum(-1).exp()


def uniform(student_log_probs: Tensor, mixture_log_probs: Tensor) -> Tensor:
    """w_t = 1: the samples are taken for the student's own."""
    return torch.ones_like(student_log_probs)
