"""What keeps every value finite and every reduction in float32 or better, whatever comes in.

Log-probabilities are cut from below, so that what a model excludes (a logit of -inf, underflow)
costs much but not infinitely much. Importance weights are cut from above and below where float32
would leave its range. Float64 stays float64.
"""

import torch
from torch import Tensor

# log p is cut here: a teacher that excludes a token costs the student at most so many nats.
LOG_ZERO = -1e4
# Logarithms of importance weights are cut to this range. A weight has mean 1 over samples of p~,
# so by Markov's inequality it exceeds e^20 with a chance below e^-20 = 2e-9: no bias to speak of.
# The ratio of two such weights, times rewards of LOG_ZERO, stays below float32's 3e38.
LOG_WEIGHT_MIN, LOG_WEIGHT_MAX = -50.0, 20.0


def at_least_float32(values: Tensor) -> Tensor:
    """The values, in float32 where they came in half precision."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def finite(log_probs: Tensor) -> Tensor:
    """Log-probabilities, at least float32 and never below `LOG_ZERO`."""
    return at_least_float32(log_probs).clamp(min=LOG_ZERO)
