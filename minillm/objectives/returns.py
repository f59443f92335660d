"""Rewards, returns, length normalisation and whitening.

Every tensor is `[B, T]` over response tokens, padded on the right. `mask` is 1 on tokens, including
EOS. Values on padding are 0.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from minillm.objectives.precision import at_least_float32, finite

# Sums a tensor over all processes; the identity for one process.
Reduce = Callable[[Tensor], Tensor]


def rewards(
    teacher_log_probs: Tensor,
    student_log_probs: Tensor,
    mask: Tensor,
    scaling: float = 1.0,
    clip: float | None = None,
) -> Tensor:
    """r_t = log p(y_t) - log q(y_t), in nats (eq. 1).

    The log-probability of a token that a model excludes is `LOG_ZERO`. As in the official code, the
    reward is divided by `scaling` and then clipped to +-`clip`.
    """
    reward = (finite(teacher_log_probs) - finite(student_log_probs)) / scaling
    if clip is not None:
        reward = reward.clamp(-clip, clip)
    return torch.where(mask.bool(), reward, 0.0)


def returns(
    rewards: Tensor,
    gamma: float = 1.0,
    from_next: bool = True,
    step_ratios: Tensor | None = None,
) -> Tensor:
    """Discounted sums of later rewards, R_t = sum over t' >= t of gamma^(t' - t) r_t' (eq. 2).

    Args:
        rewards: r_t.
        gamma: discount per step.
        from_next: sum from t + 1. This is the R_{t+1} of the long part of eq. 3; its first reward
            is discounted once.
        step_ratios: `weights.step_ratios`, or None. Reward t' is multiplied by the product of the
            ratios from t + 1 to t', which is w_t' / w_t. After multiplication by w_t, each reward
            has the weight of its own step (per-decision importance sampling, Precup et al. 2000).
            The mean over samples of p~ is then an unbiased estimate of the mean over q.
    """
    rewards = at_least_float32(rewards)
    return_from_next = torch.zeros_like(rewards[:, 0])
    all_returns = torch.empty_like(rewards)
    for t in range(rewards.shape[1] - 1, -1, -1):
        return_from_here = rewards[:, t] + return_from_next
        all_returns[:, t] = return_from_next if from_next else return_from_here
        if step_ratios is not None:
            return_from_here = step_ratios[:, t] * return_from_here
        return_from_next = gamma * return_from_here
    return all_returns


def normalize_length(returns: Tensor, mask: Tensor, from_next: bool = True) -> Tensor:
    """Divide each return by its number of rewards (eq. 6); 0 for a return without rewards.

    Eq. 6 divides by T - t - 1. The sum from t + 1 to T has T - t terms, so that this function
    divides by T - t.
    """
    mask = mask.long()
    steps = mask.flip(-1).cumsum(-1).flip(-1) - (mask if from_next else 0)
    return torch.where(steps > 0, returns / steps.clamp(min=1), 0.0)


def whiten(
    values: Tensor,
    mask: Tensor | None = None,
    reduce: Reduce = lambda sums: sums,
    epsilon: float = 1e-8,
) -> Tensor:
    """Subtract the mean and divide by the standard deviation (unbiased, epsilon under the root).

    Args:
        values: `[B, T]`.
        mask: the tokens that enter mean and deviation; all other values become 0. None for all
            positions with padding, as in the official code.
        reduce: sums a tensor over all processes. Mean and deviation are those of all processes
            together, so that they do not depend on the division of a batch. (The official code
            divides by N - 1 on one process and by N on several; this function always divides by
            N - 1.)
        epsilon: is added to the variance.
    """
    values = at_least_float32(values)
    mask = torch.ones_like(values) if mask is None else mask.to(values.dtype)
    count, total = reduce(torch.stack([mask.sum(), (values * mask).sum()]))
    mean = total / count.clamp(min=1)
    variance = reduce(((values - mean) ** 2 * mask).sum()) / (count - 1).clamp(min=1)
    return (values - mean) * torch.rsqrt(variance + epsilon) * mask
