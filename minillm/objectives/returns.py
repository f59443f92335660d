"""Rewards, their centre, returns, length normalisation, baselines and whitening.

Every tensor is `[B, T]` over response tokens, padded on the right. `mask` is 1 on tokens, including
EOS. Values on padding are 0.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from minillm.objectives.precision import at_least_float32, finite

# Sums a tensor over all processes; the identity for one process.
Reduce = Callable[[Tensor], Tensor]
# Sums a tensor `[B, ...]` over its rows and over all processes.
SumRows = Callable[[Tensor], Tensor]


def sum_rows(values: Tensor) -> Tensor:
    """The sum over the rows of one process."""
    return values.sum(0)


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
    reward = finite(teacher_log_probs) - finite(student_log_probs)
    return _scaled(reward, mask, scaling, clip)


def expected_rewards(
    reverse_kl: Tensor, mask: Tensor, scaling: float = 1.0, clip: float | None = None
) -> Tensor:
    """The mean of r_t over y_t of the student, given the tokens before: -KL[q || p], in nats.

    In place of a reward after step t, the mean does not change the expected gradient, because
    grad log q(y_t) depends on the tokens up to t only (Rao-Blackwell; Amini, Vieira and Cotterell,
    arXiv 2504.10637, estimate the reverse KL in this way). The mean is scaled and clipped like a
    reward. A clipped mean differs from the mean of clipped rewards.
    """
    return _scaled(-at_least_float32(reverse_kl), mask, scaling, clip)


def _scaled(reward: Tensor, mask: Tensor, scaling: float, clip: float | None) -> Tensor:
    reward = reward / scaling
    if clip is not None:
        reward = reward.clamp(-clip, clip)
    return torch.where(mask.bool(), reward, 0.0)


def mean_rewards(
    rewards: Tensor, weights: Tensor, by_position: bool, sum_rows: SumRows = sum_rows
) -> Tensor:
    """The mean reward per token of all responses: a number, or `[T]` by position.

    A reward minus the mean reward per token is the differential reward of average-reward
    reinforcement learning (Mahadevan 1996, "Average reward reinforcement learning"). With it, a
    further token neither costs nor earns on average. For the exact means `E[sum_t r_t] / E[T]` of
    the student, the policy gradient is E[T] times the gradient of `KL[q || p] / E[T]`, the reverse
    KL per token. A mean over N responses contains the rewards of each response itself, which causes
    a bias in the order of 1 / N.

    Args:
        rewards: r_t.
        weights: weight of each reward, 0 on padding.
        by_position: whether each position has a mean of its own.
        sum_rows: sums over the responses of all processes, whose T must be equal.
    """
    sums = sum_rows(torch.stack([rewards * weights, weights], dim=1))  # [2, T]
    total, count = sums if by_position else sums.sum(-1)
    return torch.where(count > 0, total / count.clamp(min=torch.finfo(count.dtype).tiny), 0.0)


def returns(
    rewards: Tensor,
    gamma: float = 1.0,
    from_next: bool = True,
    step_ratios: Tensor | None = None,
    later_rewards: Tensor | None = None,
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
        later_rewards: the means of the rewards given the tokens before them, in place of the
            rewards at t' > t; None for the rewards themselves. A mean over y_t' of the student
            needs no weight of step t': its weight is w_{t'-1}, so that the product of the ratios
            ends at t' - 1.
    """
    rewards = at_least_float32(rewards)
    ratios = torch.ones_like(rewards) if step_ratios is None else step_ratios
    # S_t, the sum from t of rewards that have the weights of their own steps, relative to w_{t-1}:
    # S_t = ratio_t (r_t + gamma S_{t+1}), or later_t + ratio_t gamma S_{t+1}.
    sums = _backward_sums(
        ratios * rewards if later_rewards is None else later_rewards, gamma * ratios
    )
    from_next_step = gamma * _shifted(sums, 1)
    return from_next_step if from_next else rewards + from_next_step


def _backward_sums(values: Tensor, factors: Tensor) -> Tensor:
    """S_t = v_t + f_t S_{t+1} `[B, T]`, with S_{T+1} = 0, in log2(T) steps on whole tensors.

    Each step doubles the number of terms that each sum has, and the number of factors in each
    product (Hillis and Steele 1986, "Data parallel algorithms").
    """
    terms = 1
    while terms < values.shape[1]:
        values = torch.addcmul(values, factors, _shifted(values, terms))
        factors = factors * _shifted(factors, terms)
        terms *= 2
    return values


def _shifted(values: Tensor, steps: int) -> Tensor:
    """The values `[B, T]` of `steps` columns later, and 0 after the last column."""
    return functional.pad(values[:, steps:], (0, steps))


def other_responses_mean(
    values: Tensor,
    mask: Tensor,
    group_size: int | None = None,
    sum_rows: SumRows = sum_rows,
) -> Tensor:
    """For each token, the mean of `values` at the same position of the other responses.

    As a baseline, the mean does not change the expected gradient if the other responses are
    independent (leave-one-out; Kool, van Hoof and Welling 2019, "Buy 4 REINFORCE samples, get a
    baseline for free!"). Responses without a token at the position are left out; the mean of no
    responses is 0.

    Args:
        values: `[B, T]`.
        mask: `[B, T]`.
        group_size: number of consecutive rows that are the responses to one prompt. Only the
            responses to the same prompt are the other responses; at positions that none of them
            has, those to all prompts. None for the responses to all prompts.
        sum_rows: sums over the responses of all processes, whose T must be equal.
    """
    mask = mask.to(values.dtype)
    values = values * mask

    def mean_of_others(total: Tensor, count: Tensor, otherwise: Tensor | float) -> Tensor:
        others = count - mask
        return torch.where(others > 0, (total - values) / others.clamp(min=1), otherwise)

    both = torch.stack([values, mask], dim=1)  # [B, 2, T]
    means = mean_of_others(*sum_rows(both), 0.0)
    if group_size is None:
        return means
    of_groups = both.unflatten(0, (-1, group_size)).sum(1).repeat_interleave(group_size, 0)
    return mean_of_others(*of_groups.unbind(1), means)


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
