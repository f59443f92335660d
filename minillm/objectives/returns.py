"""Rewards and what follows from them: returns, length normalisation, whitening.

Every tensor is `[B, T]` over response tokens, padded on the right; `mask` is 1 on tokens, the EOS
included. Values on padding are 0.
"""

import torch
from torch import Tensor


def rewards(
    teacher_log_probs: Tensor,
    student_log_probs: Tensor,
    mask: Tensor,
    scaling: float = 1.0,
    clip: float | None = None,
) -> Tensor:
    """r_t = log p(y_t) - log q(y_t), in nats.

    The official code divides it by `reward_scaling` and then clips it to +-`reward_clip`.
    """
    reward = (teacher_log_probs - student_log_probs) / scaling
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
        step_ratios: q(y_t) / p~(y_t). Where given, reward t' is weighted by their product from
            t + 1 to t', which makes the sum over samples of p~ an unbiased one over q
            (per-decision importance sampling).
    """
    ahead = torch.zeros_like(rewards[:, 0])
    total = torch.empty_like(rewards)
    for t in range(rewards.shape[1] - 1, -1, -1):
        here = rewards[:, t] + ahead
        total[:, t] = ahead if from_next else here
        ahead = gamma * (here if step_ratios is None else step_ratios[:, t] * here)
    return total


def normalize_length(returns: Tensor, mask: Tensor, from_next: bool = True) -> Tensor:
    """Divide each return by the number of steps that it sums (eq. 6); 0 where there is none."""
    from_here = mask.flip(-1).cumsum(-1).flip(-1)
    steps = from_here - mask if from_next else from_here
    return returns / steps.clamp(min=1)


def whiten(values: Tensor, mask: Tensor | None = None, epsilon: float = 1e-8) -> Tensor:
    """Subtract the mean and divide by the standard deviation (unbiased, epsilon under the root).

    Over the tokens of `mask`; without one over all positions, padding included, as the official
    code does.
    """
    mask = torch.ones_like(values) if mask is None else mask
    count = mask.sum()
    mean = (values * mask).sum() / count
    variance = ((values - mean) ** 2 * mask).sum() / (count - 1)
    return (values - mean) * torch.rsqrt(variance + epsilon)
