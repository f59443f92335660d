"""The loss of the long part of the gradient (eq. 3, 7): PPO's clipped surrogate (algorithm 1)."""

import torch
from torch import Tensor

from minillm.objectives.precision import LOG_WEIGHT_MAX, finite


def clipped_surrogate(
    log_probs: Tensor,
    old_log_probs: Tensor,
    weights: Tensor,
    advantages: Tensor,
    clip_range: float | None,
) -> tuple[Tensor, Tensor]:
    """-min(rho A, clip(rho, 1 - eps, 1 + eps) A) for each token.

    The ratio is rho_t = w_t q_new(y_t) / q_old(y_t). For per-step weights, rho_t is
    q_new(y_t) / p~(y_t). At q_new = q_old, the gradient of rho_t A_t is w_t A_t grad log q(y_t).
    Two limitations of the surrogate (docs/objective.md, "Inner epochs" and "Clipping"):

    *   rho_t corrects token t for the drift of the student, but neither earlier tokens nor later
        rewards.
    *   rho_t contains w_t. Clipping can therefore stop gradients even at q_new = q_old, at tokens
        with w_t outside of 1 +- eps.

    Args:
        log_probs: log q_new(y_t) `[B, T]`, with gradient.
        old_log_probs: log q_old(y_t) `[B, T]` at sampling time.
        weights: importance weights w_t `[B, T]` at sampling time.
        advantages: `[B, T]`, without gradient.
        clip_range: eps, or None for no clipping.

    Returns:
        The loss `[B, T]`, and whether clipping stops the gradient of each token, bool `[B, T]`.
    """
    drift = finite(log_probs) - finite(old_log_probs)
    ratio = drift.clamp(max=LOG_WEIGHT_MAX).exp() * weights
    unclipped = -ratio * advantages
    if clip_range is None:
        return unclipped, torch.zeros_like(unclipped, dtype=torch.bool)
    clipped = -ratio.clamp(1 - clip_range, 1 + clip_range) * advantages
    return torch.maximum(unclipped, clipped), clipped > unclipped
