"""MiniLLM's loss, combined from its parts, in all variants that `Settings` can describe.

    grad L = -E_{y~p~} sum_t w_t [ grad sum_V q log(p / q) + R^Norm_{t+1} grad log q(y_t) ]  (eq. 7)

`advantages` and `importance_weights` are computed from the log-probabilities at sampling time of a
whole collection, and `whitened` from the advantages of a mini-batch. `losses` are computed in each
inner epoch, with gradient.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from minillm.objectives import policy_gradient, returns, weights


@dataclass(frozen=True)
class Settings:
    """The settings in which the paper and the official code differ, and those of the ablations.

    Attributes:
        gamma: discount of later rewards.
        clip_range: eps of the surrogate; None for no clipping.
        single_step: whether the exact single-step term is added.
        single_step_weighted: whether the single-step term is multiplied by w_t.
        return_from_next: whether the return is R_{t+1} (paper) or R_t (official).
        length_normalization: whether a return is divided by its number of rewards.
        importance_weights: `per_step`, `product`, `truncated_product` or `none`.
        weight_bound: upper bound of the weights of `truncated_product`.
        whitening: `none`, `masked` (over tokens), or `all` (over all positions, with padding).
        reward_scaling: rewards are divided by this number.
        reward_clip: scaled rewards are clipped to +- this number; None for no clipping.
        rewards: `sampled` for r_t, or `expected`: later rewards are replaced by their means over
            y_t given the tokens before, -KL[q || p].
        reward_center: what is subtracted from each reward: nothing (`none`), the mean reward per
            token (`batch`), or the mean reward at the position (`position`).
        baseline: what is subtracted from each return: nothing (`none`), or the mean return of the
            other responses at the position, to all prompts (`position`) or to the same prompt
            (`prompt`).
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
    rewards: str = "sampled"
    reward_center: str = "none"
    baseline: str = "none"

    @property
    def compares_responses(self) -> bool:
        """Whether an advantage depends on other responses, those of other processes included."""
        return self.reward_center != "none" or self.baseline != "none"


# The default settings of each variant (the table in docs/objective.md).
VARIANTS = {
    "paper": Settings(),
    "official": Settings(
        single_step_weighted=False,
        return_from_next=False,
        whitening="all",
        reward_scaling=0.5,
        reward_clip=100.0,
    ),
    "average_reward": Settings(
        gamma=0.9,
        length_normalization=False,
        rewards="expected",
        reward_center="batch",
        baseline="position",
    ),
}


def with_variant(method: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of `MiniLLMConfig`, with those of the variant in place of null.

    `clip_range` stays null, because null is no clipping.
    """
    given = {name: x for name, x in method.items() if x is not None or name == "clip_range"}
    return asdict(VARIANTS[method["variant"]]) | given


# Weights that are products over the steps up to t. With them, later rewards are weighted too.
CUMULATIVE = ("product", "truncated_product")


def importance_weights(
    student_log_probs: Tensor, mixture_log_probs: Tensor, settings: Settings
) -> Tensor:
    """The weights w_t `[B, T]` of the kind `settings.importance_weights`."""
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
        f"importance_weights={settings.importance_weights} is not allowed. Use per_step, product, "
        f"truncated_product or none."
    )


def advantages(
    student_log_probs: Tensor,
    teacher_log_probs: Tensor,
    mixture_log_probs: Tensor,
    mask: Tensor,
    *,
    settings: Settings,
    reverse_kl: Tensor | None = None,
    group_size: int = 1,
    sum_rows: returns.SumRows = returns.sum_rows,
) -> Tensor:
    """The factors `[B, T]` of w_t grad log q(y_t), before whitening: the returns.

    With `product` weights, later rewards are weighted too. The weight w_t corrects only the
    distribution of the tokens up to t, but a return sums rewards of later tokens, which were also
    drawn from p~. The total weight of reward t' is then w_t', or the truncated w_t' for
    `truncated_product`. An expected reward has the weight w_{t'-1}.

    Args:
        student_log_probs: log q(y_t) at sampling time.
        teacher_log_probs: log p(y_t).
        mixture_log_probs: log p~(y_t).
        mask: 1 on tokens.
        settings: the variant.
        reverse_kl: KL[q || p] at each token at sampling time, for expected rewards.
        group_size: number of consecutive rows that are responses to the same prompt.
        sum_rows: sums over the responses of all processes. Their T must be equal if
            `settings.compares_responses`.
    """
    scale, clip = settings.reward_scaling, settings.reward_clip
    reward = returns.rewards(teacher_log_probs, student_log_probs, mask, scale, clip)
    later = None
    if settings.rewards == "expected":
        later = returns.expected_rewards(reverse_kl, mask, scale, clip)
    ratios, reward_weights = None, mask.to(reward.dtype)
    if settings.importance_weights in CUMULATIVE:
        weight = importance_weights(student_log_probs, mixture_log_probs, settings)
        ratios = weights.step_ratios(weight)
        reward_weights = mask * (weight if later is None else weight / ratios)
    if settings.reward_center != "none":
        by_position = settings.reward_center == "position"
        means = returns.mean_rewards(
            reward if later is None else later, reward_weights, by_position, sum_rows
        )
        reward, later = (x if x is None else (x - means) * mask for x in (reward, later))
    value = returns.returns(reward, settings.gamma, settings.return_from_next, ratios, later)
    if settings.length_normalization:
        value = returns.normalize_length(value, mask, settings.return_from_next)
    if settings.baseline != "none":
        group = group_size if settings.baseline == "prompt" else None
        value = value - returns.other_responses_mean(value, mask, group, sum_rows)
    return value * mask


def whitened(
    advantages: Tensor,
    mask: Tensor,
    *,
    settings: Settings,
    reduce: returns.Reduce = lambda sums: sums,
) -> Tensor:
    """The advantages `[B, T]` of a mini-batch after the whitening of `settings`."""
    if settings.whitening == "none":
        return advantages
    return returns.whiten(advantages, mask if settings.whitening == "masked" else None, reduce)


@dataclass(frozen=True)
class Losses:
    """Values per token, `[B, T]`, not masked.

    Attributes:
        long: the long part of the loss.
        single_step: the single-step part of the loss.
        clipped: whether clipping stops the gradient of the long part, bool.
        log_probs: log q(y_t).
        reverse_kl: the exact reverse KL.
    """

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
    *,
    settings: Settings,
) -> Losses:
    """Both parts of the loss of each token.

    Args:
        log_probs: log q(y_t) `[B, T]` of the current student, with gradient.
        reverse_kl: KL[q || p] `[B, T]` at each token, with gradient.
        old_log_probs: log q(y_t) `[B, T]` at sampling time.
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
