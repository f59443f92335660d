"""Divergences as plain formulas on probabilities, and what the tests of divergences share."""

import math

import torch
from torch import Tensor

from minillm.objectives.distributions import log_softmax
from minillm.objectives.divergences import Divergence

# Excluded by -inf or far below the floor; too small for a probability in float64 (-900) or
# float32 (-200); just above the floor; and so large that all other tokens are excluded.
EXTREME = (-math.inf, -2e4, -9e3, -900.0, -200.0, 0.0, 1.0, 1.1e4)


def kl(a: Tensor, b: Tensor) -> Tensor:
    """sum a log(a / b) with 0 log 0 = 0."""
    return (torch.special.xlogy(a, a) - torch.special.xlogy(a, b)).sum(-1)


def plain_jsd(q, p, beta):
    m = beta * p + (1 - beta) * q
    return beta * kl(p, m) + (1 - beta) * kl(q, m)


def plain_skew_reverse_kl(q, p, alpha, detach_mixture):
    m = (1 - alpha) * p + alpha * q
    return kl(q, m.detach() if detach_mixture else m)


def plain_alpha_beta(q, p, alpha, beta):
    if alpha == beta == 0:
        terms = (q / p).log() ** 2 / 2
    elif beta == 0:
        terms = (p**alpha * (p**alpha / q**alpha).log() - p**alpha + q**alpha) / alpha**2
    elif alpha == 0:
        terms = (q**beta * (q**beta / p**beta).log() - q**beta + p**beta) / beta**2
    else:
        total = alpha + beta
        powers = p**alpha * q**beta - alpha / total * p**total - beta / total * q**total
        terms = -powers / (alpha * beta)
    return terms.sum(-1)


def head_weights(q: Tensor, p: Tensor, mu: float) -> Tensor:
    """w of AKL by a loop over the tokens, the most likely to p first."""
    weights = []
    for row_q, row_p in zip(q.detach(), p, strict=True):
        mass, gaps, in_head = 0.0, [0.0, 0.0], True
        for rank, token in enumerate(row_p.argsort(descending=True)):
            mass += float(row_p[token])
            in_head = rank == 0 or mass <= mu
            gaps[in_head] += float((row_p[token] - row_q[token]).abs())
        weights.append(gaps[True] / sum(gaps) if sum(gaps) else 0.5)
    return torch.tensor(weights, dtype=q.dtype)


def plain_adaptive_kl(q, p, mu):
    weights = head_weights(q, p, mu)
    return weights * kl(p, q) + (1 - weights) * kl(q, p)


def plain_logit_mse(q, p):
    z, z_p = (x.log() - x.log().mean(-1, keepdim=True) for x in (q, p))
    return ((z - z_p) ** 2).mean(-1) / 2


PLAIN = {
    "forward_kl": lambda q, p: kl(p, q),
    "reverse_kl": lambda q, p: kl(q, p),
    "symmetric": lambda q, p, forward_weight, reverse_weight: (
        forward_weight * kl(p, q) + reverse_weight * kl(q, p)
    ),
    "jsd": plain_jsd,
    "tvd": lambda q, p: (q - p).abs().sum(-1) / 2,
    "skew_forward_kl": lambda q, p, alpha: kl(p, alpha * p + (1 - alpha) * q),
    "skew_reverse_kl": plain_skew_reverse_kl,
    "alpha_beta": plain_alpha_beta,
    "adaptive_kl": plain_adaptive_kl,
    "logit_mse": plain_logit_mse,
}


def random_logits(seed: int, *shape: int, spread: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(shape, generator=generator, dtype=torch.float64)


def evaluate(divergence: Divergence, z: Tensor, z_p: Tensor) -> tuple[Tensor, Tensor]:
    """Value and gradient from logits of the student and of the teacher."""
    log_q, log_p = log_softmax(z), log_softmax(z_p)
    before = log_q.clone(), log_p.clone()
    value = divergence.value(log_q, log_p)
    gradient = divergence.gradient(log_q, log_p, value)
    assert torch.equal(log_q, before[0]) and torch.equal(log_p, before[1])  # inputs are not changed
    assert value.shape == z.shape[:-1] and gradient.shape == z.shape
    assert value.dtype == gradient.dtype == log_q.dtype
    assert not gradient.requires_grad
    return value, gradient


def assert_close(one: Tensor, other: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)
