"""Importance weights: what corrects for having sampled from the mixture p~ and not from q.

Log-probabilities `[B, T]` in, weights `[B, T]` out. On padding, where the log-probabilities are 0,
a weight means nothing; losses and metrics mask it. All weights are finite: see `precision`.
"""

import math

import torch
from torch import Tensor

from minillm.objectives.precision import (
    LOG_WEIGHT_MAX,
    LOG_WEIGHT_MIN,
    at_least_float32,
    finite,
)


def per_step(student_log_probs: Tensor, mixture_log_probs: Tensor) -> Tensor:
    """w_t = q(y_t) / p~(y_t): the paper's choice, biased and of low variance (after eq. 5).

    At most 1 / (1 - alpha), because p~ >= (1 - alpha) q. At alpha = 1 nothing but `precision`
    bounds it: such a student learns from the teacher's samples alone.
    """
    log_ratios = finite(student_log_probs) - finite(mixture_log_probs)
    return log_ratios.clamp(max=LOG_WEIGHT_MAX).exp()


def cumulative(
    student_log_probs: Tensor, mixture_log_probs: Tensor, bound: float = math.inf
) -> Tensor:
    """w_t = min(product over t' <= t of q(y_t') / p~(y_t'), bound) (eq. 5 where unbounded).

    Unbounded it is exact, of a variance that grows with t. The bound cuts the product and not its
    factors, so a weight that has been cut comes back when later tokens shrink it.
    """
    log_ratios = finite(student_log_probs) - finite(mixture_log_probs)
    largest = min(math.log(bound), LOG_WEIGHT_MAX)
    return log_ratios.cumsum(-1).clamp(LOG_WEIGHT_MIN, largest).exp()


def uniform(student_log_probs: Tensor) -> Tensor:
    """w_t = 1: the samples are taken for the student's own."""
    return torch.ones_like(at_least_float32(student_log_probs))


def step_ratios(weights: Tensor) -> Tensor:
    """w_t / w_{t-1} of cumulative weights, w_0 = 1: what step t added to them."""
    before = torch.cat([torch.ones_like(weights[:, :1]), weights[:, :-1]], dim=1)
    return weights / before
