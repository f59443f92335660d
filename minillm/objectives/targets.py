"""Targets: what a teacher says about N tokens, in the form in which the teacher can say it.

A local teacher gives hidden states and a head (`HeadTargets`), from which the whole distribution
is computed chunk by chunk. A stored teacher or a server gives the k largest log-probabilities
(`TopKTargets`). Several teachers give a mixture (`MixtureTargets`).

A divergence compares two distributions on one common support. The support is the vocabulary, or
the k stored tokens and a tail bucket for all other tokens. `Targets` brings the student's
distribution onto the support, and brings the gradient from the support back to the vocabulary.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from minillm.objectives.distributions import log_softmax
from minillm.objectives.head import Head
from minillm.objectives.precision import LOG_ZERO, finite


class TargetChunk(Protocol):
    """The targets of one chunk of tokens, with everything computed that all blocks share."""

    def pair(self, rows: slice, log_q: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """log q and log p on the common support, `[n, S]` each.

        Args:
            rows: the tokens of the chunk that `log_q` belongs to.
            log_q: the student's log-probabilities `[n, V]`.
            temperature: of the teacher's distribution.
        """
        ...

    def spread(self, rows: slice, gradient: Tensor, log_q: Tensor) -> Tensor:
        """The gradient `[n, V]` by the student's logits of one `[n, S]` on the support."""
        ...


class Targets(Protocol):
    """What a teacher says about N tokens. The tokens of a batch `[B, T]` are counted row by row."""

    def select(self, tokens: Tensor) -> "Targets":
        """The targets of the tokens with the given indices, `[N']`."""
        ...

    def chunk(self, rows: slice) -> TargetChunk:
        """The targets of some consecutive tokens, ready to be compared with the student's."""
        ...


@dataclass(frozen=True)
class HeadTargets:
    """The whole distribution of every token, kept as the teacher's last hidden states.

    Attributes:
        hidden: last hidden states `[..., d]` that predict the tokens.
        head: the teacher's output head.
    """

    hidden: Tensor
    head: Head

    def select(self, tokens: Tensor) -> "HeadTargets":
        return HeadTargets(self.hidden.flatten(0, -2).index_select(0, tokens), self.head)

    def chunk(self, rows: slice) -> "LogitsChunk":
        return LogitsChunk(self.head.logits(self.hidden.flatten(0, -2)[rows]))


@dataclass(frozen=True)
class LogitsChunk:
    """A chunk of targets as final logits `[n, V]`: the support is the vocabulary."""

    logits: Tensor

    def pair(self, rows: slice, log_q: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        return log_q, log_softmax(self.logits[rows], temperature)

    def spread(self, rows: slice, gradient: Tensor, log_q: Tensor) -> Tensor:
        return gradient


@dataclass(frozen=True)
class TopKTargets:
    """The k largest log-probabilities of every token. All other tokens share a tail bucket.

    The support has k + 1 members: the k tokens, and the tail with the mass 1 - sum p. A divergence
    on this support is a lower bound of the divergence on the vocabulary. With k = V it is equal.

    Attributes:
        ids: the k tokens, int64 `[..., k]`, each at most once per row.
        log_probs: their log-probabilities `[..., k]`.
        temperature: the temperature at which the log-probabilities were computed. No other
            temperature can be asked for, because the shape of the tail is not known.
    """

    ids: Tensor
    log_probs: Tensor
    temperature: float = 1.0

    def select(self, tokens: Tensor) -> "TopKTargets":
        ids, log_probs = (
            x.flatten(0, -2).index_select(0, tokens) for x in (self.ids, self.log_probs)
        )
        return TopKTargets(ids, log_probs, self.temperature)

    def chunk(self, rows: slice) -> "TopKTargets":
        ids, log_probs = (x.flatten(0, -2)[rows] for x in (self.ids, self.log_probs))
        return TopKTargets(ids, log_probs, self.temperature)

    def pair(self, rows: slice, log_q: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        if temperature != self.temperature:
            raise ValueError(
                f"top-k targets stored at temperature {self.temperature} cannot be read at "
                f"temperature {temperature}: store them again at that temperature"
            )
        log_p = finite(self.log_probs[rows]).to(log_q.dtype)
        # The student's tail is summed directly: 1 - sum q would lose it to rounding.
        tail = self._outside(rows, log_q).logsumexp(-1, keepdim=True).clamp(min=LOG_ZERO)
        return torch.cat([log_q.gather(-1, self.ids[rows]), tail], dim=-1), _with_tail(log_p)

    def _outside(self, rows: slice, log_q: Tensor) -> Tensor:
        """The log-probabilities `[n, V]` without those of the k tokens."""
        return log_q.scatter(-1, self.ids[rows], -torch.inf)

    def spread(self, rows: slice, gradient: Tensor, log_q: Tensor) -> Tensor:
        # Outside of the k tokens, the tail's gradient is shared in proportion to q.
        outside = self._outside(rows, log_q).softmax(-1).nan_to_num_(0.0)  # nan where k = V
        return outside.mul_(gradient[:, -1:]).scatter_(-1, self.ids[rows], gradient[:, :-1])


def _with_tail(log_probs: Tensor) -> Tensor:
    """Log-probabilities `[n, k]` with that of all other tokens behind them, `[n, k + 1]`."""
    mass = log_probs.logsumexp(-1, keepdim=True).clamp(max=0.0)
    tail = torch.log(-torch.expm1(mass)).clamp(min=LOG_ZERO)
    return torch.cat([log_probs, tail], dim=-1)


@dataclass(frozen=True)
class MixtureTargets:
    """The weighted mixture of several teachers' distributions over the vocabulary.

    The arithmetic mixture sum_k w_k p_k keeps what any teacher finds likely: the forward KL to it
    is sum_k w_k KL[p_k || q] up to a constant. The geometric mixture prod_k p_k^w_k, normalised,
    keeps what all teachers find likely: the reverse KL to it is sum_k w_k KL[q || p_k] up to a
    constant.

    Attributes:
        parts: the targets of every teacher, over one vocabulary.
        weights: w_k, positive, with the sum 1.
        geometric: which of the two mixtures.
    """

    parts: Sequence[Targets]
    weights: Sequence[float]
    geometric: bool = False

    def select(self, tokens: Tensor) -> "MixtureTargets":
        parts = [part.select(tokens) for part in self.parts]
        return MixtureTargets(parts, self.weights, self.geometric)

    def chunk(self, rows: slice) -> "MixtureChunk":
        chunks = [part.chunk(rows) for part in self.parts]
        if not all(isinstance(chunk, LogitsChunk | MixtureChunk) for chunk in chunks):
            raise ValueError(
                "a mixture needs the whole distribution of every teacher, but one gives the top k "
                "only: set teacher.top_k=null"
            )
        return MixtureChunk(chunks, self.weights, self.geometric)


@dataclass(frozen=True)
class MixtureChunk:
    """A chunk of a mixture: the support is the vocabulary."""

    chunks: Sequence[TargetChunk]
    weights: Sequence[float]
    geometric: bool

    def pair(self, rows: slice, log_q: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        log_p = None
        for chunk, weight in zip(self.chunks, self.weights, strict=True):
            _, part = chunk.pair(rows, log_q, temperature)
            part = part.mul_(weight) if self.geometric else part.add_(math.log(weight))
            if log_p is None:
                log_p = part
            else:
                log_p = log_p.add_(part) if self.geometric else torch.logaddexp(log_p, part)
        return log_q, log_softmax(log_p) if self.geometric else log_p.clamp_(min=LOG_ZERO)

    def spread(self, rows: slice, gradient: Tensor, log_q: Tensor) -> Tensor:
        return gradient


@torch.no_grad()
def top_k_targets(
    targets: Targets, tokens: int, k: int, temperature: float, chunk_size: int
) -> TopKTargets:
    """The k most likely tokens of targets that hold whole distributions.

    Args:
        targets: of N tokens.
        tokens: N.
        k: tokens that are kept; at most V.
        temperature: of the distribution.
        chunk_size: tokens whose distributions exist at once.
    """
    ids, log_probs = [], []
    for start in range(0, tokens, chunk_size):
        rows = slice(start, min(start + chunk_size, tokens))
        chunk = targets.chunk(rows)
        _, log_p = chunk.pair(slice(None), None, temperature)
        top = log_p.topk(min(k, log_p.shape[-1]), dim=-1)
        ids.append(top.indices)
        log_probs.append(top.values)
    return TopKTargets(torch.cat(ids), torch.cat(log_probs), temperature)
