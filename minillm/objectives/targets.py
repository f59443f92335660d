"""Targets: a teacher's distributions of N tokens, in the form that the teacher provides.

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
from torch.nn.functional import threshold

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

    def log_p(self, rows: slice, temperature: float) -> Tensor:
        """The log-probabilities `[n, V]`, a new tensor."""
        return log_softmax(self.logits[rows], temperature)

    def pair(self, rows: slice, log_q: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        return log_q, self.log_p(rows, temperature)

    def spread(self, rows: slice, gradient: Tensor, log_q: Tensor) -> Tensor:
        return gradient


@dataclass(frozen=True)
class TopKTargets:
    """The k largest log-probabilities of every token. All other tokens share a tail bucket.

    The support has k + 1 members: the k tokens, and the tail with the mass 1 - sum p. An
    f-divergence on this support is a lower bound of the divergence on the vocabulary. With k = V
    there is no tail, and every divergence is equal.

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
        ids, log_p = self.ids[rows], finite(self.log_probs[rows])
        top_q = log_q.gather(-1, ids)
        if ids.shape[-1] == log_q.shape[-1]:  # no token is outside
            return top_q, log_p.to(log_q.dtype)
        # 1 - sum p is known up to the rounding of the stored numbers only. Without this floor, a
        # teacher whose tail is lost to rounding would seem to exclude all tokens of the tail.
        smallest = math.log(torch.finfo(self.log_probs.dtype).eps)
        mass = log_p.logsumexp(-1, keepdim=True).clamp(max=0.0)
        tail_p = torch.log(-torch.expm1(mass)).clamp(min=smallest)
        # The student's tail is summed directly: 1 - sum q would lose it to rounding.
        outside = self._outside(rows, log_q)
        all_excluded = outside.amax(-1, keepdim=True) <= LOG_ZERO
        tail_q = outside.logsumexp(-1, keepdim=True).masked_fill_(all_excluded, LOG_ZERO)
        log_p = torch.cat([log_p, tail_p], dim=-1).to(log_q.dtype)
        return torch.cat([top_q, tail_q], dim=-1), log_p

    def _outside(self, rows: slice, log_q: Tensor) -> Tensor:
        """The log-probabilities `[n, V]` without those of the k tokens."""
        return log_q.scatter(-1, self.ids[rows], -torch.inf)

    def spread(self, rows: slice, gradient: Tensor, log_q: Tensor) -> Tensor:
        ids = self.ids[rows]
        if ids.shape[-1] == log_q.shape[-1]:
            return torch.zeros_like(log_q).scatter_(-1, ids, gradient)
        # Outside of the k tokens, the tail's gradient is shared in proportion to q.
        outside = self._outside(rows, log_q).softmax(-1)
        return outside.mul_(gradient[:, -1:]).scatter_(-1, ids, gradient[:, :-1])


@dataclass(frozen=True)
class MixtureTargets:
    """The weighted mixture of several teachers' distributions over the vocabulary.

    The arithmetic mixture sum_k w_k p_k keeps what any teacher finds likely: the forward KL to it
    is sum_k w_k KL[p_k || q] up to a constant. It excludes a token if all teachers do. The
    geometric mixture prod_k p_k^w_k, normalised, keeps what all teachers find likely: the reverse
    KL to it is sum_k w_k KL[q || p_k] up to a constant. It excludes a token if any teacher does.

    At a temperature T, the mixture is made of the teachers' distributions at T.

    Attributes:
        parts: the targets of every teacher, over one vocabulary.
        weights: w_k, positive, with the sum 1.
        geometric: which of the two mixtures.

    Raises:
        ValueError: the weights do not fit.
    """

    parts: Sequence[Targets]
    weights: Sequence[float]
    geometric: bool = False

    def __post_init__(self) -> None:
        fit = len(self.weights) == len(self.parts) and all(weight > 0 for weight in self.weights)
        if not (fit and math.isclose(sum(self.weights), 1.0, abs_tol=1e-6)):
            raise ValueError(
                f"weights={list(self.weights)} do not fit {len(self.parts)} teachers: give each a "
                f"weight above 0, with the sum 1"
            )

    def select(self, tokens: Tensor) -> "MixtureTargets":
        parts = [part.select(tokens) for part in self.parts]
        return MixtureTargets(parts, self.weights, self.geometric)

    def chunk(self, rows: slice) -> "MixtureChunk":
        chunks = [_whole(part.chunk(rows)) for part in self.parts]
        return MixtureChunk(chunks, self.weights, self.geometric)


@dataclass(frozen=True)
class MixtureChunk:
    """A chunk of a mixture: the support is the vocabulary."""

    chunks: Sequence["WholeChunk"]
    weights: Sequence[float]
    geometric: bool

    def log_p(self, rows: slice, temperature: float) -> Tensor:
        """The log-probabilities `[n, V]`, a new tensor."""
        total = None
        for chunk, weight in zip(self.chunks, self.weights, strict=True):
            part = chunk.log_p(rows, temperature)
            if self.geometric:
                # An excluded token stays below the floor, whatever the weight and the other parts.
                part = threshold(part, LOG_ZERO, 2 * LOG_ZERO / weight, inplace=True).mul_(weight)
                total = part if total is None else total.add_(part)
            else:
                part = part.add_(math.log(weight))
                total = part if total is None else torch.logaddexp(total, part)
        if self.geometric:
            return log_softmax(total)
        # A token that all teachers exclude is at the floor up to rounding.
        return threshold(total, LOG_ZERO + 0.1, LOG_ZERO, inplace=True)

    def pair(self, rows: slice, log_q: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        return log_q, self.log_p(rows, temperature)

    def spread(self, rows: slice, gradient: Tensor, log_q: Tensor) -> Tensor:
        return gradient


WholeChunk = LogitsChunk | MixtureChunk


def _whole(chunk: TargetChunk) -> WholeChunk:
    """The chunk, if it has the whole distribution of every token."""
    if isinstance(chunk, WholeChunk):
        return chunk
    raise ValueError(
        "the whole distribution of every token is needed here, but a teacher gives its k most "
        "likely tokens only: set teacher.top_k=null"
    )


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

    Raises:
        ValueError: the targets hold the most likely tokens only.
    """
    ids, log_probs = [], []
    for start in range(0, max(tokens, 1), chunk_size):
        rows = slice(start, min(start + chunk_size, tokens))
        log_p = _whole(targets.chunk(rows)).log_p(slice(None), temperature)
        top = log_p.topk(min(k, log_p.shape[-1]), dim=-1)
        ids.append(top.indices)
        log_probs.append(top.values)
    return TopKTargets(torch.cat(ids), torch.cat(log_probs), temperature)
