"""The long part of the gradient (eq. 3, 7) as a loss: PPO's clipped surrogate (algorithm 1)."""

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

    rho_t = w_t q_new(y_t) / q_old(y_t), which is q_new(y_t) / p~(y_t) for per-step weights, so
    that at q_new = q_old its gradient is w_t A_t grad log q(y_t). Two things to know
    (docs/objective.md, "Inner epochs" and "Clipping"): rho corrects this one token for the
    student's drift, not those before it nor the rewards ahead; and as rho holds w_t, clipping
    stops gradients already at q_new = q_old, wherever w_t is outside of 1 +- eps.

    Args:
        log_probs: log q_new(y_t) `[B, T]`, with gradient.
        old_log_probs: log q_old(y_t) `[B, T]` at sampling time.
        weights: importance weights w_t `[B, T]` at sampling time.
        advantages: `[B, T]`, constants.
        clip_range: eps, or None for no clipping.

    Returns:
        The loss `[B, T]`, and whether clipping stops the token's gradient, bool `[B, T]`.
    """
    drift = finite(log_probs) - finite(old_log_probs)
    ratio = drift.clamp(max=LOG_WEIGHT_MAX).exp() * weights
    plain = -ratio * advantages
    if clip_range is None:
        return plain, torch.zeros_like(plain, dtype=torch.bool)
    clipped = -ratio.clamp(1 - clip_range, 1 + clip_range) * advantages
    return torch.maximum(plain, clipped), clipped > plain
