"""Exact quality of estimators of the gradient, which docs/estimators.md compares.

All responses of small random students and teachers are enumerated (tests/objectives/tabular.py), so
means and variances are exact.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache

import torch
from torch import Tensor

from minillm.objectives.minillm import VARIANTS, Settings
from minillm.objectives.returns import whiten
from tests.objectives.tabular import EOS, Policies, Responses

PAIRS = 20  # random pairs of student and teacher; every number is the mean over the pairs
VOCAB, LENGTH, ALPHA = 4, 6, 0.2
USUAL_DISTANCE = 0.5
BATCH = 1e9  # responses in whitening, so that their mean and deviation are exact

EXACT = Settings(clip_range=None, length_normalization=False, importance_weights="product")
PER_STEP = replace(EXACT, importance_weights="per_step")
NONE = replace(EXACT, importance_weights="none")
PAPER = VARIANTS["paper"]
Gradients = Callable[[Policies], Tensor]


def usual(settings: Settings) -> Gradients:
    """Gradients of the loss that training uses."""

    def gradients(policies: Policies) -> Tensor:
        return policies.gradients(
            settings, policies.weights(settings), policies.advantages(settings)
        )

    return gradients


def rewards_ahead_not_weighted(policies: Policies) -> Tensor:
    """The product of eq. 5 times R_{t+1} without weights."""
    return policies.gradients(EXACT, policies.weights(EXACT), policies.advantages(NONE))


def single_step_weighted_by_steps_before(policies: Policies) -> Tensor:
    """The weight of the single-step term is w_{t-1} instead of w_t."""
    weights = policies.weights(EXACT)
    previous_weights = torch.cat([torch.ones_like(weights[:, :1]), weights[:, :-1]], dim=1)
    long = policies.gradients(
        replace(EXACT, single_step=False), weights, policies.advantages(EXACT)
    )
    return long + policies.gradients(EXACT, previous_weights, torch.zeros_like(weights))


def official(policies: Policies) -> Tensor:
    """Whitened over all positions of a batch so large that its mean and deviation are exact."""
    settings = VARIANTS["official"]
    values = policies.advantages(replace(settings, whitening="none"))
    counts = BATCH * policies.probabilities[:, None].expand_as(values)
    return policies.gradients(settings, policies.weights(settings), whiten(values, counts) / counts)


def truncated(bound: float) -> Gradients:
    return usual(replace(EXACT, importance_weights="truncated_product", weight_bound=bound))


ESTIMATORS: dict[str, Gradients] = {
    "product": usual(EXACT),
    "product, single-step term by w_{t-1}": single_step_weighted_by_steps_before,
    "product, no single-step term (eq. 2)": usual(
        replace(EXACT, single_step=False, return_from_next=False)
    ),
    "product, no single-step term but R_{t+1}": usual(replace(EXACT, single_step=False)),
    "product of eq. 5, rewards ahead not weighted": rewards_ahead_not_weighted,
    "truncated_product, bound 2": truncated(2.0),
    "truncated_product, bound 1": truncated(1.0),
    "per_step": usual(PER_STEP),
    "per_step, single-step term not weighted": usual(replace(PER_STEP, single_step_weighted=False)),
    "none (all weights 1)": usual(NONE),
    "per_step, clipped": usual(replace(PER_STEP, clip_range=0.2)),
    "product, length-normalised": usual(replace(EXACT, length_normalization=True)),
    "product, expected rewards": usual(replace(EXACT, rewards="expected")),
    "per_step, expected rewards": usual(replace(PER_STEP, rewards="expected")),
    "per_step, length-normalised": usual(replace(PER_STEP, length_normalization=True)),
    "none, length-normalised": usual(replace(NONE, length_normalization=True)),
    "`variant: paper` (per_step, length-normalised, clipped)": usual(PAPER),
    "`variant: official` (whitened as well)": official,
}


# Ways to estimate the effect of a token on later rewards, from samples of the student (alpha = 0),
# where all importance weights are 1.
BASELINE = replace(EXACT, baseline="position")
CENTRED = replace(EXACT, reward_center="batch")
LATER_REWARDS: dict[str, Settings] = {
    "sampled rewards": EXACT,
    "expected rewards": replace(EXACT, rewards="expected"),
    "sampled rewards, baseline": BASELINE,
    "expected rewards, baseline": replace(BASELINE, rewards="expected"),
    "length-normalised": replace(EXACT, length_normalization=True),
    "length-normalised, expected rewards, baseline": replace(
        BASELINE, rewards="expected", length_normalization=True
    ),
    "discount 0.9": replace(EXACT, gamma=0.9),
    "discount 0.9, expected rewards, baseline": replace(BASELINE, rewards="expected", gamma=0.9),
    "centred rewards": CENTRED,
    "centred rewards, expected, baseline": replace(
        CENTRED, rewards="expected", baseline="position"
    ),
    "centred by position, expected, baseline": replace(
        BASELINE, rewards="expected", reward_center="position"
    ),
    "`variant: average_reward`, not clipped": replace(VARIANTS["average_reward"], clip_range=None),
    "no later rewards (discount 0)": replace(EXACT, gamma=0.0),
}


@dataclass(frozen=True)
class Quality:
    """The quality of an estimator of the gradient g.

    Attributes:
        bias: |E[estimate] - g| / |g|.
        cosine: cosine between E[estimate] and g.
        noise: standard deviation of the estimate from one response, relative to |g|.
        scaled_bias: bias at the best scale (learning rate), the sine between E[estimate] and g.
        scaled_noise: noise at the best scale.
    """

    bias: float
    cosine: float
    noise: float
    scaled_bias: float
    scaled_noise: float

    @property
    def break_even(self) -> float:
        """The batch size above which the bias is larger than the noise, at the best scale."""
        if self.scaled_bias < 1e-6:
            return float("inf")
        return (self.scaled_noise / self.scaled_bias) ** 2


def measure(policies: Policies, gradients: Tensor, exact: Tensor) -> Quality:
    """Quality of per-response gradients `[N, T, V]`; a response uses each row at most once."""
    mean = policies.expectation(gradients)
    square = (policies.probabilities * gradients.square().sum((1, 2))).sum()
    noise = (square - mean.square().sum()).clamp(min=0).sqrt() / exact.norm()
    scale = (mean * exact).sum() / mean.square().sum()
    return Quality(
        bias=float((mean - exact).norm() / exact.norm()),
        cosine=float((mean * exact).sum() / (mean.norm() * exact.norm())),
        noise=float(noise),
        scaled_bias=float((scale * mean - exact).norm() / exact.norm()),
        scaled_noise=float(scale * noise),
    )


def average(qualities: Sequence[Quality]) -> Quality:
    """The mean of each number over the pairs."""
    names = [field.name for field in fields(Quality)]
    sums = [sum(getattr(quality, name) for quality in qualities) for name in names]
    return Quality(*(total / len(qualities) for total in sums))


def pair(
    responses: Responses, distance: float, alpha: float, seed: int, eos_logit: float = -2.0
) -> Policies:
    """A peaked teacher, and a student whose logits differ by the standard deviation `distance`.

    EOS is unlikely, so that most responses are long.
    """
    teacher = 1.5 * responses.random_table(2 * seed)
    teacher[:, EOS] += eos_logit
    student = teacher + distance * responses.random_table(2 * seed + 1)
    return Policies(responses, student, teacher, alpha)


def later_rewards(
    vocab: int = VOCAB, length: int = LENGTH, eos_logit: float = -2.0
) -> dict[str, tuple[Quality, Quality]]:
    """Quality of `LATER_REWARDS` as estimates of two gradients, from samples of the student.

    The first is the gradient of KL[q || p], and the second that of KL[q || p] per token. Baselines
    and centres are those of an infinite batch.
    """
    responses = Responses.all(vocab, length)
    of_pairs: dict[str, list[tuple[Quality, Quality]]] = {name: [] for name in LATER_REWARDS}
    for seed in range(PAIRS):
        policies = pair(responses, USUAL_DISTANCE, 0.0, seed, eos_logit)
        targets = policies.exact_gradient()[1], policies.exact_gradient_per_token()[1]
        for name, settings in LATER_REWARDS.items():
            gradients = usual(settings)(policies)
            of_pairs[name].append(tuple(measure(policies, gradients, x) for x in targets))
    return {
        name: tuple(map(average, zip(*values, strict=True))) for name, values in of_pairs.items()
    }


@cache
def study(
    distance: float = USUAL_DISTANCE,
    alpha: float = ALPHA,
    vocab: int = VOCAB,
    length: int = LENGTH,
    eos_logit: float = -2.0,
) -> tuple[dict[str, Quality], float, float]:
    """Quality of every estimator, KL[q || p] of a response, and mean tokens of a response of q."""
    responses = Responses.all(vocab, length)
    of_pairs: dict[str, list[Quality]] = {name: [] for name in ESTIMATORS}
    kls, tokens = [], []
    for seed in range(PAIRS):
        policies = pair(responses, distance, alpha, seed, eos_logit)
        kl, exact = policies.exact_gradient()
        kls.append(float(kl))
        student = policies.student_log_probs.sum(-1).exp()
        tokens.append(float((student * responses.mask.sum(-1)).sum()))
        for name, gradients in ESTIMATORS.items():
            of_pairs[name].append(measure(policies, gradients(policies), exact))
    qualities = {name: average(values) for name, values in of_pairs.items()}
    return qualities, sum(kls) / PAIRS, sum(tokens) / PAIRS
