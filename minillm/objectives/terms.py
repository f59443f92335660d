"""Terms: numbers per token from which losses are made, with their gradients in closed form.

A term is computed on a block of tokens while the logits of the block exist. Its gradient by the
logits z needs nothing but the block, so the logits can be dropped afterwards. With q the student:

    d log q(y) / dz = onehot(y) - q                       (`TokenLogProb`)
    d H[q]     / dz = -q (log q + H[q])                   (`Entropy`)
    d D(p, q)  / dz: see `divergences`                    (`DivergenceTerm`)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from minillm.objectives import distributions
from minillm.objectives.divergences import Divergence
from minillm.objectives.precision import LOG_ZERO
from minillm.objectives.targets import TargetChunk


class Block:
    """Some tokens of a chunk. Distributions are computed once per temperature.

    Attributes:
        ids: the tokens `[n]`.
        logits: the student's final logits `[n, V]`.
        chunk: the targets of the chunk that the tokens belong to, or None.
        rows: the tokens of the chunk that are in this block.
    """

    def __init__(self, ids: Tensor, logits: Tensor, chunk: TargetChunk | None, rows: slice) -> None:
        self.ids = ids
        self.logits = logits
        self.chunk = chunk
        self.rows = rows
        self._student: dict[float, Tensor] = {}
        self._pairs: dict[tuple[float, float], tuple[Tensor, Tensor]] = {}

    def log_q(self, temperature: float = 1.0) -> Tensor:
        """The student's log-probabilities `[n, V]`."""
        if temperature not in self._student:
            self._student[temperature] = distributions.log_softmax(self.logits, temperature)
        return self._student[temperature]

    def pair(self, temperature: float, teacher_temperature: float) -> tuple[Tensor, Tensor]:
        """log q and log p on the support of the targets, `[n, S]` each."""
        key = temperature, teacher_temperature
        if key not in self._pairs:
            log_q = self.log_q(temperature)
            self._pairs[key] = self.chunk.pair(self.rows, log_q, teacher_temperature)
        return self._pairs[key]


class Term(Protocol):
    """One number per token."""

    needs_targets: bool

    def value(self, block: Block) -> Tensor:
        """The numbers `[n]`, at least float32."""
        ...

    def add_gradient(
        self, block: Block, value: Tensor, weight: Tensor, total: Tensor | None
    ) -> Tensor:
        """`total` `[n, V]` plus `weight` `[n]` times d value / d final logits.

        Args:
            value: of this term.
            total: the sum over earlier terms, which is changed in place; None for the first term.
        """
        ...


Terms = Mapping[str, Term]


@dataclass(frozen=True)
class TokenLogProb:
    """log q(y) of the token itself: minus the cross-entropy with the hard label, in nats."""

    needs_targets = False

    def value(self, block: Block) -> Tensor:
        return distributions.token_log_probs(block.log_q(), block.ids)

    def add_gradient(
        self, block: Block, value: Tensor, weight: Tensor, total: Tensor | None
    ) -> Tensor:
        weight = (weight * (value > LOG_ZERO))[:, None]  # an excluded token has no gradient
        gradient = block.log_q().exp().mul_(-weight)
        gradient.scatter_add_(-1, block.ids[:, None], weight)
        return gradient if total is None else total.add_(gradient)


@dataclass(frozen=True)
class TeacherLogProb:
    """log p(y) of the token itself, in nats. It does not depend on the student.

    The targets must be distributions over the whole vocabulary.
    """

    needs_targets = True

    def value(self, block: Block) -> Tensor:
        _, log_p = block.pair(1.0, 1.0)
        return distributions.token_log_probs(log_p, block.ids)

    def add_gradient(
        self, block: Block, value: Tensor, weight: Tensor, total: Tensor | None
    ) -> Tensor:
        return torch.zeros_like(block.log_q()) if total is None else total


@dataclass(frozen=True)
class Entropy:
    """H[q], in nats."""

    needs_targets = False

    def value(self, block: Block) -> Tensor:
        return distributions.entropy(block.log_q())

    def add_gradient(
        self, block: Block, value: Tensor, weight: Tensor, total: Tensor | None
    ) -> Tensor:
        log_q = block.log_q()
        gradient = (log_q + value[:, None]).mul_(log_q.exp())
        return _weighted_sum(gradient, -weight, total)


@dataclass(frozen=True)
class DivergenceTerm:
    """A divergence between student and teacher, each at a temperature, in nats.

    A temperature T divides the final logits, after scale and softcap. The gradient by the logits
    shrinks like 1 / T^2; the factor T^2 keeps the size of the gradient while T changes (Hinton et
    al., arXiv 1503.02531, section 2).

    Attributes:
        divergence: compares the two distributions.
        temperature: T of the student.
        teacher_temperature: of the teacher; None for T.
        squared: whether value and gradient are multiplied by T^2.
    """

    divergence: Divergence
    temperature: float = 1.0
    teacher_temperature: float | None = None
    squared: bool = True
    needs_targets = True

    @property
    def _factor(self) -> float:
        return self.temperature**2 if self.squared else 1.0

    def _pair(self, block: Block) -> tuple[Tensor, Tensor]:
        teacher = self.teacher_temperature
        return block.pair(self.temperature, self.temperature if teacher is None else teacher)

    def value(self, block: Block) -> Tensor:
        return self._factor * self.divergence.value(*self._pair(block))

    def add_gradient(
        self, block: Block, value: Tensor, weight: Tensor, total: Tensor | None
    ) -> Tensor:
        gradient = self.divergence.gradient(*self._pair(block), value / self._factor)
        gradient = block.chunk.spread(block.rows, gradient, block.log_q(self.temperature))
        return _weighted_sum(gradient, weight * (self._factor / self.temperature), total)


def _weighted_sum(gradient: Tensor, weight: Tensor, total: Tensor | None) -> Tensor:
    """`total` plus `weight` `[n]` times `gradient` `[n, V]`, in the memory of one of the two."""
    if total is None:
        return gradient.mul_(weight[:, None])
    return total.addcmul_(gradient, weight[:, None])
