"""Keeps all values finite, and all products and reductions in float32 or float64, for any input.

Log-probabilities have a lower bound, so that a token that a model excludes (a logit of -inf, or
underflow) has a large but finite cost. Importance weights are clamped to the range of float32.
Float64 inputs stay in float64.
"""

import torch
from torch import Tensor

# Lower bound of log-probabilities, in nats: the largest cost of a token that the teacher excludes.
LOG_ZERO = -1e4
# Logarithms of importance weights are clamped to this range. The mean of a weight over samples of
# p~ is 1. By Markov's inequality, a weight exceeds e^20 with a probability below e^-20 = 2e-9, so
# that the bias is negligible. The ratio of two clamped weights, multiplied by a reward of LOG_ZERO,
# stays below float32's 3e38.
LOG_WEIGHT_MIN, LOG_WEIGHT_MAX = -50.0, 20.0
HALF = (torch.bfloat16, torch.float16)


def at_least_float32(values: Tensor) -> Tensor:
    """The values, converted to float32 if their precision is lower."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def product(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b` of two matrices of one dtype, summed and returned in float32 or better."""
    if a.dtype in HALF:  # only on GPUs: `Head.ready` has no half precision on CPUs
        return torch.mm(a, b, out_dtype=torch.float32)
    return a @ b


def finite(log_probs: Tensor) -> Tensor:
    """Log-probabilities, at least float32 and at least `LOG_ZERO`."""
    return at_least_float32(log_probs).clamp(min=LOG_ZERO)
