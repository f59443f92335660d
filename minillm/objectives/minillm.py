"""MiniLLM's loss put together from its parts, in the variants that the settings name.

    grad L = -E_{y~p~} sum_t w_t [ grad sum_V q log(p / q) + R^Norm_{t+1} grad log q(y_t) ]  (eq. 7)

`advantages` and `importance_weights` are computed for a mini-batch from what the sampler knew;
`losses` in each inner epoch, with gradient.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from minillm.objectives import policy_gradient, returns, weights


@dataclass(frozen=True)
class Settings:
    """The choices in which the paper and the official code differ, and the ablations.

    Attributes:
        gamma: discount of rewards ahead.
        clip_range: eps of the surrogate.
        single_step: whether the exact single-step term is added.
        single_step_weighted: whether w_t weights it.
        return_from_next: R_{t+1} (paper) or R_t (official).
        length_normalization: divide a return by the steps that it sums.
        importance_weights: `per_step`, `product`, `truncated_product` or `none`.
        weight_bound: of `truncated_product`, which is cut there.
        whitening: `none`, `masked`, or `all` positions with padding.
        reward_scaling: rewards are divided by it.
        reward_clip: and then clipped to +- this.
    """

    gamma: float = 1.0
    clip_range: float | None = 0.2
    single_step: bool = True
    single_step_weighted: bool = True
    return_from_next: bool = True
    length_normalization: bool = True
    importance_weights: str = "per_step"
    weight_bound: float = 2.0
    whitening: str = "none"
    reward_scaling: float = 1.0
    reward_clip: float | None = None


# What each variant takes where the user says nothing (the table in docs/objective.md).
VARIANTS = {
    "paper": Settings(),
    "official": Settings(
        single_step_weighted=False,
        return_from_next=False,
        whitening="all",
        reward_scaling=0.5,
        reward_clip=100.0,
    ),
}


# Products over the steps up to t, for which the rewards ahead are weighted by theirs.
CUMULATIVE = ("product", "truncated_product")


def importance_weights(
    student_log_probs: Tensor, mixture_log_probs: Tensor, settings: Settings
) -> Tensor:
    """w_t `[B, T]` of the kind that the settings name."""
    match settings.importance_weights:
        case "per_step":
            return weights.per_step(student_log_probs, mixture_log_probs)
        case "product":
            return weights.cumulative(student_log_probs, mixture_log_probs)
        case "truncated_product":
            bound = settings.weight_bound
            return weights.cumulative(student_log_probs, mixture_log_probs, bound)
        case "none":
            return weights.uniform(student_log_probs)
    raise ValueError(
        f"importance_weights={settings.importance_weights}: it must be per_step, product, "
        f"truncated_product or none"
    )


def advantages(
    student_log_probs: Tensor,
    teacher_log_probs: Tensor,
    mixture_log_probs: Tensor,
    mask: Tensor,
    settings: Settings,
    reduce: returns.Reduce = lambda sums: sums,
) -> Tensor:
    """What multiplies w_t grad log q(y_t), `[B, T]`: the (normalised, whitened) return.

    With `product` weights the rewards ahead are weighted too: w_t alone corrects the prefix up to
    t, but a return sums rewards of steps after it, which were drawn from p~ as well. Reward t'
    then bears w_t' in all, and with `truncated_product` likewise the truncated w_t'.
    `reduce` sums over processes what whitening needs of all of them.
    """
    reward = returns.rewards(
        teacher_log_probs, student_log_probs, mask, settings.reward_scaling, settings.reward_clip
    )
    ratios = None
    if settings.importance_weights in CUMULATIVE:
        weight = importance_weights(student_log_probs, mixture_log_probs, settings)
        ratios = weights.step_ratios(weight)
    value = returns.returns(reward, settings.gamma, settings.return_from_next, ratios)
    if settings.length_normalization:
        value = returns.normalize_length(value, mask, settings.return_from_next)
    if settings.whitening == "none":
        return value * mask
    return returns.whiten(value, mask if settings.whitening == "masked" else None, reduce)


@dataclass(frozen=True)
class Losses:
    """Per token `[B, T]`, not masked: the two parts, log q(y_t), and the exact reverse KL."""

    long: Tensor
    single_step: Tensor
    clipped: Tensor
    log_probs: Tensor
    reverse_kl: Tensor

    @property
    def total(self) -> Tensor:
        return self.long + self.single_step


def losses(
    log_probs: Tensor,
    reverse_kl: Tensor,
    old_log_probs: Tensor,
    weights: Tensor,
    advantages: Tensor,
    settings: Settings,
) -> Losses:
    """Both parts of the loss for each token.

    Args:
        log_probs: log q(y_t) `[B, T]` of the student now, with gradient.
        reverse_kl: KL[q || p] `[B, T]` at each token, likewise.
        old_log_probs: log q(y_t) `[B, T]` when sampled.
        weights: w_t `[B, T]`.
        advantages: `[B, T]`.
        settings: the variant.
    """
    long, clipped = policy_gradient.clipped_surrogate(
        log_probs, old_log_probs, weights, advantages, settings.clip_range
    )
    single_step = torch.zeros_like(reverse_kl)
    if settings.single_step:
        single_step = reverse_kl * weights if settings.single_step_weighted else reverse_kl
    return Losses(long, single_step, clipped, log_probs, reverse_kl)
