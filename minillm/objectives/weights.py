"""Importance weights: what corrects for having sampled from the mixture p~ and not from q."""

from torch import Tensor


def per_step_weights(student_log_probs: Tensor, mixture_log_probs: Tensor) -> Tensor:
    """w_t = q(y_t) / p~(y_t) `[B, T]`: the paper's choice, biased and of low variance (eq. 5).

    At most 1 / (1 - alpha), because p~ >= (1 - alpha) q.
    """
    return (student_log_probs - mixture_log_probs).exp()
