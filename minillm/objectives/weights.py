"""Importance weights, which correct for sampling from the mixture p~ instead of from q.

All functions take log-probabilities `[B, T]` and return weights `[B, T]`. Weights on padding, where
the log-probabilities are 0, have no meaning; losses and metrics mask them. All weights are finite:
see `precision`.
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
    """w_t = q(y_t) / p~(y_t): the paper's choice, with a bias and a low variance (after eq. 5).

    A weight is at most 1 / (1 - alpha), because p~ >= (1 - alpha) q. At alpha = 1, where the
    student learns only from samples of the teacher, `precision` gives the only bound.
    """
    log_ratios = finite(student_log_probs) - finite(mixture_log_probs)
    return log_ratios.clamp(max=LOG_WEIGHT_MAX).exp()


def cumulative(
    student_log_probs: Tensor, mixture_log_probs: Tensor, bound: float = math.inf
) -> Tensor:
    """w_t = min(product over t' <= t of q(y_t') / p~(y_t'), bound) (eq. 5 without a bound).

    Without a bound, the weights are exact, and their variance grows with t. The bound applies to
    the product, not to its factors: a weight falls below the bound again if later ratios are small.
    """
    log_ratios = finite(student_log_probs) - finite(mixture_log_probs)
    largest = min(math.log(bound), LOG_WEIGHT_MAX)
    return log_ratios.cumsum(-1).clamp(LOG_WEIGHT_MIN, largest).exp()


def uniform(student_log_probs: Tensor) -> Tensor:
    """w_t = 1: the samples are treated as samples of the student."""
    return torch.ones_like(at_least_float32(student_log_probs))


def step_ratios(weights: Tensor) -> Tensor:
    """The ratios w_t / w_{t-1} of cumulative weights, with w_0 = 1."""
    previous = torch.cat([torch.ones_like(weights[:, :1]), weights[:, :-1]], dim=1)
    return weights / previous
