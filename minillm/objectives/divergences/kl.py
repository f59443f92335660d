"""The two KL divergences and their weighted sums."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from minillm.objectives.distributions import kl
from minillm.objectives.divergences.base import (
    Divergence,
    allowed,
    is_number,
    through_softmax,
    through_softmax_by_q,
)


@dataclass(frozen=True)
class ForwardKL(Divergence):
    """KL[p||q] = sum p (log p - log q): word-level distillation.

    Gradient: q - p. Not bounded.
    Source: Hinton et al., arXiv 1503.02531, section 2; Kim and Rush, arXiv 1606.07947, section 3.1.

    A token that only q excludes costs 1e4 p nats and has no gradient of its own: the student cannot
    learn the token back from this term.
    """

    name: ClassVar[str] = "forward_kl"

    def value(self, log_q: Tensor, log_p: Tensor) -> Tensor:
        return kl(log_p, log_q)

    def gradient(self, log_q: Tensor, log_p: Tensor, value: Tensor) -> Tensor:
        return through_softmax(log_q, log_p.exp().neg_().mul_(allowed(log_q)))


@dataclass(frozen=True)
class ReverseKL(Divergence):
    """KL[q||p] = sum q (log q - log p): the single-step term of MiniLLM.

    Gradient: q (log q - log p - KL[q||p]). Not bounded.
    Source: Gu et al., arXiv 2306.08543, equation 3.

    A token that only p excludes costs about 1e4 q nats and has a gradient of about 1e4 q.
    """

    name: ClassVar[str] = "reverse_kl"

    def value(self, log_q: Tensor, log_p: Tensor) -> Tensor:
        return kl(log_q, log_p)

    def gradient(self, log_q: Tensor, log_p: Tensor, value: Tensor) -> Tensor:
        return through_softmax_by_q(log_q, log_q - log_p, mean=value)


@dataclass(frozen=True)
class SymmetricKL(Divergence):
    """a KL[p||q] + b KL[q||p] with a = `forward_weight` and b = `reverse_weight`.

    Gradient: the same sum of the gradients of `ForwardKL` and `ReverseKL`. Not bounded.
    Source: Jeffreys, Proc. R. Soc. A 186 (1946), with a = b = 1.

    The default a = b = 1/2 is half of Jeffreys' divergence, so that the value has the size of one
    KL. Some papers call this half Jeffreys' divergence too: compare the learning rates.
    """

    name: ClassVar[str] = "symmetric"
    forward_weight: float = 0.5
    reverse_weight: float = 0.5

    def __post_init__(self) -> None:
        for parameter in ("forward_weight", "reverse_weight"):
            weight = getattr(self, parameter)
            if not (is_number(weight) and weight >= 0):
                self._refuse(parameter, "a number from 0 on")
        if self.forward_weight == self.reverse_weight == 0:
            self._refuse("reverse_weight", "a number above 0, because forward_weight is 0")

    def value(self, log_q: Tensor, log_p: Tensor) -> Tensor:
        weights = self.forward_weight, self.reverse_weight
        return _weighted_value(log_q.exp(), log_p.exp(), log_q - log_p, *weights)

    def gradient(self, log_q: Tensor, log_p: Tensor, value: Tensor) -> Tensor:
        p = log_p.exp().mul_(allowed(log_q))
        weights = self.forward_weight, self.reverse_weight
        return _weighted_gradient(log_q.exp(), p, log_q - log_p, *weights)


@dataclass(frozen=True)
class AdaptiveKL(Divergence):
    """AKL: w KL[p||q] + (1 - w) KL[q||p] with a weight w per token, which has no gradient.

    The head holds the most likely tokens of p: a token belongs to the head if the mass of all
    tokens that are at least as likely is at most `mu`. If no token is in the head by this rule, the
    most likely token is. With the gap |p - q| summed to G_h over the head and to G_t over the rest,
    w = G_h / (G_h + G_t), and w = 1/2 where both are 0.

    Gradient: w (q - p) + (1 - w) q (log q - log p - KL[q||p]). Not bounded.
    Source: Wu et al., arXiv 2404.02657 (AKL).

    On a support of k tokens and a tail, the tail is ranked as one token, so w differs from the
    weight on the vocabulary. Tokens that are equally likely are in the head together; the authors'
    code splits them by the order of a sort.
    """

    name: ClassVar[str] = "adaptive_kl"
    mu: float = 0.5

    def __post_init__(self) -> None:
        if not (is_number(self.mu) and 0 < self.mu < 1):
            self._refuse("mu", "a number above 0 and below 1")

    def value(self, log_q: Tensor, log_p: Tensor) -> Tensor:
        q, p = log_q.exp(), log_p.exp()
        weight = self._forward_weight(q, p)
        return _weighted_value(q, p, log_q - log_p, weight, 1 - weight)

    def gradient(self, log_q: Tensor, log_p: Tensor, value: Tensor) -> Tensor:
        q, p = log_q.exp(), log_p.exp()
        weight = self._forward_weight(q, p)
        return _weighted_gradient(q, p.mul_(allowed(log_q)), log_q - log_p, weight, 1 - weight)

    @torch.no_grad()
    def _forward_weight(self, q: Tensor, p: Tensor) -> Tensor:
        """w `[n, 1]`. The mask of the head is in the order of the support, as the gaps are."""
        gaps = (p - q).abs_()
        total = gaps.sum(-1, keepdim=True)
        head = gaps.mul_(p > self._head_bound(p)).sum(-1, keepdim=True)
        return torch.where(total > 0, head / total, 0.5).clamp_(max=1.0)

    def _head_bound(self, p: Tensor) -> Tensor:
        """The probability `[n, 1]` above which a token belongs to the head."""
        size, k = p.shape[-1], 64
        while True:  # most heads are small: sorting the whole support would take longer
            largest = p.topk(min(k, size)).values
            mass = largest.cumsum(-1)
            if k >= size or bool((mass[:, -1] > self.mu).all()):
                break
            k *= 8
        first_of_rest = (mass <= self.mu).sum(-1, keepdim=True).clamp_(max=mass.shape[-1] - 1)
        most_likely = largest[:, :1]
        just_below = most_likely.nextafter(torch.zeros_like(most_likely))
        return torch.minimum(largest.gather(-1, first_of_rest), just_below)


def _weighted_value(
    q: Tensor, p: Tensor, log_ratio: Tensor, forward: Tensor | float, reverse: Tensor | float
) -> Tensor:
    """forward KL[p||q] + reverse KL[q||p] `[n]`, with log_ratio = log q - log p.

    Weights are numbers or `[n, 1]`.
    """
    return (reverse * q).sub_(forward * p).mul_(log_ratio).sum(-1)


def _weighted_gradient(
    q: Tensor, p: Tensor, log_ratio: Tensor, forward: Tensor | float, reverse: Tensor | float
) -> Tensor:
    """The gradient of `_weighted_value`. `p` is 0 where q excludes. Changes `p` and `log_ratio`."""
    reverse_kl = (q * log_ratio).sum(-1, keepdim=True)
    mass = p.sum(-1, keepdim=True)
    factor = log_ratio.mul_(reverse).add_(forward * mass - reverse * reverse_kl)
    return factor.mul_(q).sub_(p.mul_(forward))
