"""Rewards and what follows from them: returns, length normalisation, whitening.

Every tensor is `[B, T]` over response tokens, padded on the right; `mask` is 1 on tokens, the EOS
included. Values on padding are 0.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from minillm.objectives.precision import at_least_float32, finite

# Sums a tensor over all processes; the identity where there is one.
Reduce = Callable[[Tensor], Tensor]


def rewards(
    teacher_log_probs: Tensor,
    student_log_probs: Tensor,
    mask: Tensor,
    scaling: float = 1.0,
    clip: float | None = None,
) -> Tensor:
    """r_t = log p(y_t) - log q(y_t), in nats; a token that a model excludes counts `LOG_ZERO`.

    The official code divides it by `reward_scaling` and then clips it to +-`reward_clip`.
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
    """Discounted sum of the rewards ahead, R_t = sum over t' >= t of gamma^(t' - t) r_t' (eq. 2).

    Args:
        rewards: r_t.
        gamma: discount of each step further on.
        from_next: sum from t + 1 on, the R_{t+1} of eq. 3's long part, whose first reward is
            discounted once.
        step_ratios: `weights.step_ratios`. Where given, reward t' is weighted by their product
            from t + 1 to t', which is w_t' / w_t: with w_t in front, each reward bears the weight
            of its own step (per-decision importance sampling, Precup et al. 2000). That makes the
            sum over samples of p~ an unbiased one over q.
    """
    rewards = at_least_float32(rewards)
    ahead = torch.zeros_like(rewards[:, 0])
    total = torch.empty_like(rewards)
    for t in range(rewards.shape[1] - 1, -1, -1):
        here = rewards[:, t] + ahead
        total[:, t] = ahead if from_next else here
        ahead = gamma * (here if step_ratios is None else step_ratios[:, t] * here)
    return total


def normalize_length(returns: Tensor, mask: Tensor, from_next: bool = True) -> Tensor:
    """Divide each return by the number of steps that it sums (eq. 6); 0 where there is none.

    Eq. 6 writes T - t - 1; the sum from t + 1 to T has T - t terms, and that is what divides here.
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
        mask: the tokens that count and keep a value; without one, all positions, padding
            included, as the official code has it.
        reduce: makes mean and deviation those of all processes together, so that cutting a batch
            up changes nothing. (The official code divides by N - 1 on one process and by N on
            several; here it is always N - 1.)
    """
    values = at_least_float32(values)
    mask = torch.ones_like(values) if mask is None else mask.to(values.dtype)
    count, total = reduce(torch.stack([mask.sum(), (values * mask).sum()]))
    mean = total / count.clamp(min=1)
    variance = reduce(((values - mean) ** 2 * mask).sum()) / (count - 1).clamp(min=1)
    return (values - mean) * torch.rsqrt(variance + epsilon) * mask
