"""What every divergence has in common: the two functions, and the way through the softmax.

A divergence D is a function of log q, where q = softmax(u). Its gradient by u follows from its
slopes in one of two forms. Both have rows that sum to 0:

    dD/du = s - q sum_S s          with s = dD / d log q     (`through_softmax`)
    dD/du = q (l - sum_S q l)      with l = dD / dq          (`through_softmax_by_q`)
"""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from minillm.objectives.precision import LOG_ZERO


class Divergence(ABC):
    """Distance of the student q from the teacher p on one common support S of each token.

    The support is the vocabulary, or any other partition of it with at least two members, such as
    k tokens and a bucket for the rest. Log-probabilities are float32 or float64, and none is below
    the floor `LOG_ZERO`. A token at the floor is excluded. The floor is constant, so the value has
    no slope by log q where q excludes a token.

    A new divergence is a frozen dataclass that has a `name`, implements `value`, and is added to
    `DIVERGENCES`. `gradient` works by autograd. A closed form is faster.

    Attributes:
        name: the name in `DIVERGENCES`.
    """

    name: ClassVar[str]

    @abstractmethod
    def value(self, log_q: Tensor, log_p: Tensor) -> Tensor:
        """The divergence `[n]` in nats, from log q and log p, `[n, S]` each."""

    def gradient(self, log_q: Tensor, log_p: Tensor, value: Tensor) -> Tensor:
        """d value / d u `[n, S]` with q = softmax(u): a new tensor that the caller may change.

        Args:
            log_q: log-probabilities of the student `[n, S]`.
            log_p: log-probabilities of the teacher `[n, S]`.
            value: `value(log_q, log_p)`, so that it need not be computed again.
        """
        with torch.enable_grad():
            leaf = log_q.detach().requires_grad_()
            (slopes,) = torch.autograd.grad(self.value(leaf, log_p.detach()).sum(), leaf)
        return through_softmax(log_q, slopes.mul_(allowed(log_q)))

    def _refuse(self, parameter: str, allowed: str) -> None:
        raise ValueError(
            f"{self.name}: {parameter}={getattr(self, parameter)!r} is not allowed: give {allowed}."
        )


def allowed(log_q: Tensor) -> Tensor:
    """1 for each token that q allows, 0 for each that q excludes, in the dtype of `log_q`.

    Nothing is below the floor, so this equals `log_q > LOG_ZERO`. A product with the numbers takes
    less than half as long as a product with booleans on a CPU.
    """
    return (log_q - LOG_ZERO).sign_()


def through_softmax(log_q: Tensor, slopes: Tensor) -> Tensor:
    """s - q sum_S s from the slopes by log q `[n, S]`, which are changed in place."""
    return slopes.sub_(log_q.exp().mul_(slopes.sum(-1, keepdim=True)))


def through_softmax_by_q(log_q: Tensor, slopes: Tensor, mean: Tensor | None = None) -> Tensor:
    """q (l - sum_S q l) from the slopes by q `[n, S]`, which are changed in place.

    Args:
        log_q: log-probabilities of the student `[n, S]`.
        slopes: l.
        mean: sum_S q l `[n]`, where it is known already.
    """
    q = log_q.exp()
    if mean is None:
        mean = (q * slopes).sum(-1)
    return slopes.sub_(mean[:, None]).mul_(q)


def is_number(value: object) -> bool:
    """Whether a parameter is a finite number."""
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and math.isfinite(value)
