"""Divergences from a mixture m of teacher and student, which are bounded.

log m is computed from log-probabilities. It stays finite where both probabilities underflow.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from minillm.objectives.divergences.base import (
    Divergence,
    is_number,
    through_softmax,
    through_softmax_by_q,
)


@dataclass(frozen=True)
class JSD(Divergence):
    """JSD(beta) = beta KL[p||m] + (1 - beta) KL[q||m] with m = beta p + (1 - beta) q.

    `beta` is the teacher's weight, in m and in front of KL[p||m].
    JSD(beta) / beta tends to KL[p||q] for beta -> 0, and JSD(beta) / (1 - beta) tends to KL[q||p]
    for beta -> 1.

    Gradient: (1 - beta) q (log q - log m - KL[q||m]).
    Bounds: 0 to -beta log beta - (1 - beta) log(1 - beta), at most log 2.
    Source: Agarwal et al., arXiv 2306.13649 (GKD), equation 1.

    Value and gradient shrink like beta or 1 - beta near the ends: compare the learning rates.
    Some code uses beta as the weight of the student, and some returns the plain KLs at the ends.
    """

    name: ClassVar[str] = "jsd"
    beta: float = 0.5

    def __post_init__(self) -> None:
        if not (is_number(self.beta) and 0 < self.beta < 1):
            self._refuse(
                "beta",
                "a number above 0 and below 1. The divergence is 0 everywhere at both ends. "
                "Use forward_kl for the limit at beta -> 0 and reverse_kl for the one at beta -> 1",
            )

    def value(self, log_q: Tensor, log_p: Tensor) -> Tensor:
        log_m = _log_mixture(log_q, log_p, self.beta)
        teacher = (log_p - log_m).mul_(log_p.exp()).sum(-1)
        student = (log_q - log_m).mul_(log_q.exp()).sum(-1)
        return self.beta * teacher + (1 - self.beta) * student

    def gradient(self, log_q: Tensor, log_p: Tensor, value: Tensor) -> Tensor:
        log_ratio = log_q - _log_mixture(log_q, log_p, self.beta)
        return through_softmax_by_q(log_q, log_ratio.mul_(1 - self.beta))


@dataclass(frozen=True)
class SkewForwardKL(Divergence):
    """KL[p||m] with m = alpha p + (1 - alpha) q. The limit at alpha -> 0 is KL[p||q].

    Gradient: (1 - alpha) (q sum(p q / m) - p q / m).
    Bounds: 0 to -log alpha.
    Source: Ko et al., arXiv 2402.03898 (DistiLLM), with alpha = 0.1.

    A token with q far below alpha p is pushed by about q (1 - alpha) / alpha only, where the
    forward KL pushes by p. The authors' code leaves out the constant sum p log p, so its printed
    loss differs.
    """

    name: ClassVar[str] = "skew_forward_kl"
    alpha: float = 0.1

    def __post_init__(self) -> None:
        _check_alpha(self, "forward_kl")

    def value(self, log_q: Tensor, log_p: Tensor) -> Tensor:
        return (log_p - _log_mixture(log_q, log_p, self.alpha)).mul_(log_p.exp()).sum(-1)

    def gradient(self, log_q: Tensor, log_p: Tensor, value: Tensor) -> Tensor:
        # A token that q excludes has the slope 0, because the slope has the factor q.
        slopes = (log_q + log_p).sub_(_log_mixture(log_q, log_p, self.alpha)).exp_()
        return through_softmax(log_q, slopes.mul_(self.alpha - 1))


@dataclass(frozen=True)
class SkewReverseKL(Divergence):
    """KL[q||m] with m = (1 - alpha) p + alpha q. The limit at alpha -> 0 is KL[q||p].

    Gradient: q (l - sum(q l)) with l = log q - log m - alpha q / m, or with l = log q - log m if
    `detach_mixture`.
    Bounds: 0 to -log alpha.
    Source: Ko et al., arXiv 2402.03898 (DistiLLM), with alpha = 0.1.

    With `detach_mixture` no gradient flows through m. The value is the same, but the gradient is
    not the derivative of the value.
    """

    name: ClassVar[str] = "skew_reverse_kl"
    alpha: float = 0.1
    detach_mixture: bool = False

    def __post_init__(self) -> None:
        _check_alpha(self, "reverse_kl")
        if self.detach_mixture not in (False, True):
            self._refuse("detach_mixture", "true or false")

    def value(self, log_q: Tensor, log_p: Tensor) -> Tensor:
        return self._log_ratio(log_q, log_p).mul_(log_q.exp()).sum(-1)

    def gradient(self, log_q: Tensor, log_p: Tensor, value: Tensor) -> Tensor:
        slopes = self._log_ratio(log_q, log_p)
        if self.detach_mixture:
            return through_softmax_by_q(log_q, slopes, mean=value)
        through_mixture = slopes.exp().mul_(self.alpha)
        return through_softmax_by_q(log_q, slopes.sub_(through_mixture))

    def _log_ratio(self, log_q: Tensor, log_p: Tensor) -> Tensor:
        """log q - log m, a new tensor."""
        return log_q - _log_mixture(log_q, log_p, 1 - self.alpha)


def _log_mixture(log_q: Tensor, log_p: Tensor, teacher_weight: float) -> Tensor:
    """log(w p + (1 - w) q) with 0 < w < 1."""
    log_weights = math.log(teacher_weight), math.log1p(-teacher_weight)
    return torch.logaddexp(log_p + log_weights[0], log_q + log_weights[1])


def _check_alpha(divergence: SkewForwardKL | SkewReverseKL, limit: str) -> None:
    if not (is_number(divergence.alpha) and 0 < divergence.alpha < 1):
        divergence._refuse(
            "alpha",
            f"a number above 0 and below 1. Use {limit} for alpha = 0. The divergence is 0 "
            "everywhere at alpha = 1",
        )
