"""Divergences that compare probabilities, their powers, or logits, token by token."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from minillm.objectives.divergences.base import (
    Divergence,
    allowed,
    is_number,
    through_softmax,
    through_softmax_by_q,
)


@dataclass(frozen=True)
class TotalVariation(Divergence):
    """TVD = 1/2 sum |p - q|.

    Gradient: q (l - sum(q l)) with l = 1/2 sign(q - p), which is 0 where q = p.
    Bounds: 0 to 1.
    Source: Wen et al., arXiv 2307.15190 (f-distill).

    The gradient has the factor q: a student that is nearly certain of a wrong token learns slowly.
    """

    name: ClassVar[str] = "tvd"

    def value(self, log_q: Tensor, log_p: Tensor) -> Tensor:
        return (log_q.exp() - log_p.exp()).abs_().sum(-1) / 2

    def gradient(self, log_q: Tensor, log_p: Tensor, value: Tensor) -> Tensor:
        return through_softmax_by_q(log_q, (log_q - log_p).sign_().mul_(0.5))


@dataclass(frozen=True)
class AlphaBeta(Divergence):
    """The alpha-beta divergence, with a = `alpha`, b = `beta` and c = a + b:

        D = -1/(a b) sum [p^a q^b - a/c p^c - b/c q^c]

    (1, 0) is KL[p||q], (0, 1) is KL[q||p], and (1/2, 1/2) is 2 sum (sqrt p - sqrt q)^2.

    Gradient: s - q sum(s) with s = q^b (q^a - p^a) / a.
    Where a parameter is 0 the limit is computed. With x^0 / 0 read as log x, so that
    (q^0 - p^0) / 0 = log q - log p, two forms of D cover all pairs but (0, 0):

        D = 1/a sum [(q^c - p^c)/c - p^a (q^b - p^b)/b]
          = 1/b sum [q^b (q^a - p^a)/a - (q^c - p^c)/c]

    and D(0, 0) = 1/2 sum (log q - log p)^2.
    Bounds: 0 to S^max(0, 1 - c) / (a b); not bounded where a parameter is 0.
    Source: Wang et al., arXiv 2505.04560 (ABKD), with alpha = 0.2 and beta = 0.7; the family is by
    Cichocki et al., Entropy 13 (2011). The authors' code has 1/alpha and 1/beta in the limits where
    the definition gives 1/alpha^2 and 1/beta^2.

    The smaller c is, the more unlikely tokens count: at c = 0 all tokens count alike, and one
    excluded token costs 5e7 nats. Rounding grows like 1/(a b): use 0 in place of parameters below
    about 0.01 in float32.
    """

    name: ClassVar[str] = "alpha_beta"
    alpha: float = 0.2
    beta: float = 0.7

    def __post_init__(self) -> None:
        for parameter in ("alpha", "beta"):
            exponent = getattr(self, parameter)
            if not (is_number(exponent) and exponent >= 0):
                self._refuse(parameter, "a number from 0 on: negative powers overflow")

    def value(self, log_q: Tensor, log_p: Tensor) -> Tensor:
        alpha, beta = self.alpha, self.beta
        difference = _power_difference(log_q, log_p, alpha + beta)
        if alpha == beta == 0:
            return difference.square().sum(-1) / 2
        if alpha >= beta:  # divide by the larger parameter
            other = _power_difference(log_q, log_p, beta).mul_(_power(log_p, alpha))
            return (difference - other).sum(-1) / alpha
        other = _power_difference(log_q, log_p, alpha).mul_(_power(log_q, beta))
        return (other - difference).sum(-1) / beta

    def gradient(self, log_q: Tensor, log_p: Tensor, value: Tensor) -> Tensor:
        slopes = _power_difference(log_q, log_p, self.alpha)
        if self.beta != 0:
            slopes.mul_(_power(log_q, self.beta))
        return through_softmax(log_q, slopes.mul_(allowed(log_q)))


@dataclass(frozen=True)
class LogitMSE(Divergence):
    """1/(2 S) sum (z - z_p)^2, where the mean over S is subtracted from the logits z and z_p.

    The logits are recovered as log q and log p, because a softmax only shifts them.
    Tokens that q or p excludes are left out of the means, of the sum and of S, because one
    such token would cost about 1e8 / (2 S).

    Gradient: (z - z_p) / S, with the means subtracted. Not bounded.
    Source: Hinton et al., arXiv 1503.02531, section 2.1: the limit of T^2 KL[p_T||q_T] for
    temperatures T -> infinity.

    All tokens count alike, however unlikely. What p excludes is not taught at all: a teacher that
    allows one token only gives no gradient.
    """

    name: ClassVar[str] = "logit_mse"

    def value(self, log_q: Tensor, log_p: Tensor) -> Tensor:
        difference, count = self._centred(log_q, log_p)
        return difference.square().sum(-1) / (2 * count[:, 0])

    def gradient(self, log_q: Tensor, log_p: Tensor, value: Tensor) -> Tensor:
        difference, count = self._centred(log_q, log_p)
        return difference.div_(count)

    def _centred(self, log_q: Tensor, log_p: Tensor) -> tuple[Tensor, Tensor]:
        """The centred z - z_p `[n, S]`, 0 where left out, and the number of tokens `[n, 1]`."""
        both = allowed(log_q).mul_(allowed(log_p))
        count = both.sum(-1, keepdim=True).clamp_(min=1)
        difference = (log_q - log_p).mul_(both)
        mean = difference.sum(-1, keepdim=True) / count
        return difference.sub_(mean).mul_(both), count


def _power(log_x: Tensor, exponent: float) -> Tensor:
    """x^exponent, a new tensor."""
    return log_x.exp() if exponent == 1 else (log_x * exponent).exp()


def _power_difference(log_q: Tensor, log_p: Tensor, exponent: float) -> Tensor:
    """(q^e - p^e) / e, a new tensor; log q - log p is the limit at e = 0."""
    if exponent == 0:
        return log_q - log_p
    return (_power(log_q, exponent) - _power(log_p, exponent)).div_(exponent)
