"""Per-token terms over the whole vocabulary from hidden states, a chunk of tokens at a time.

What `divergences` defines on log-probabilities `[N, V]` is computed here from last hidden states
`[N, d]` and output heads, without `[N, V]`: a chunk's logits are made, summed up and dropped, once
only. Where a token's loss hangs on its own terms alone, its gradient by its logits is known before
they are dropped, in closed form. With q the student, p the teacher and z the student's logits,

    d log q_y    / dz = onehot(y) - q                       (one token's log-probability)
    d KL[q || p] / dz = q (log q - log p - KL[q || p])      (the single-step term of eq. 3)
    d H[q]       / dz = -q (log q + H[q])
    d KL[p || q] / dz = q - p                               (word-level distillation)
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise, repeat

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from minillm.objectives import divergences
from minillm.objectives.precision import LOG_ZERO, at_least_float32

# Numbers in one chunk's logits. On a CPU, 24 MiB of float32: enough tokens for fast products, and
# malloc hands the same memory out again (above 32 MiB glibc maps new pages each time, which costs
# more than the arithmetic). Other devices need larger matrices to be busy.
CPU_BUDGET, DEVICE_BUDGET = 6 * 2**20, 64 * 2**20
# All else is done with one block of a chunk after another: passes over it stay in the cache, and
# what they leave between them is small.
BLOCKS = 8


def default_chunk_size(device: torch.device, vocab_size: int) -> int:
    """As many tokens as the device's budget allows."""
    budget = CPU_BUDGET if device.type == "cpu" else DEVICE_BUDGET
    return max(1, budget // vocab_size)


@dataclass(frozen=True)
class Head:
    """How a model gets from last hidden states to logits.

    Attributes:
        weight: `[rows, d]`, at least `vocab_size` rows; those after it are padding.
        bias: `[rows]`.
        vocab_size: V, the tokens that can occur.
        scale: logits are multiplied by it (Cohere, Granite).
        softcap: and then limited to +- this by tanh (Gemma).
    """

    weight: Tensor
    bias: Tensor | None
    vocab_size: int
    scale: float = 1.0
    softcap: float | None = None

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits `[..., V]` of last hidden states `[..., d]`, in the weight's type."""
        bias = None if self.bias is None else self.bias[: self.vocab_size]
        hidden = hidden.to(self.weight.dtype)
        logits = functional.linear(hidden, self.weight[: self.vocab_size], bias)
        if self.scale != 1:
            logits = logits * self.scale
        if self.softcap is not None:
            logits = self.softcap * torch.tanh(logits / self.softcap)
        return logits


@dataclass(frozen=True)
class VocabularyTerms:
    """One number for each token, in nats and at least float32; None where it was not asked for.

    Attributes:
        log_probs: log q(y) of the token itself.
        reverse_kl: KL[q || p], exact over the vocabulary.
        entropy: H[q].
        forward_kl: KL[p || q].
    """

    log_probs: Tensor | None = None
    reverse_kl: Tensor | None = None
    entropy: Tensor | None = None
    forward_kl: Tensor | None = None

    @staticmethod
    def of(names: Sequence[str], values: Iterable[Tensor]) -> "VocabularyTerms":
        return VocabularyTerms(**dict(zip(names, values, strict=True)))


TERMS = tuple(field.name for field in fields(VocabularyTerms))
NEED_TEACHER = {"reverse_kl", "forward_kl"}
Teacher = tuple[Tensor, Head]  # its last hidden states `[N, d']`, its head


@torch.no_grad()
def vocabulary_terms(
    hidden: Tensor,
    head: Head,
    ids: Tensor,
    terms: Sequence[str],
    teacher: Teacher | None = None,
    chunk_size: int | None = None,
) -> VocabularyTerms:
    """The `terms` of N tokens. They have no gradient, ever: `vocabulary_loss` is to train on.

    Under autocast the student's logits are made in its type, as the head itself would.

    Args:
        hidden: the student's last hidden states `[N, d]` that predict each token.
        head: the student's.
        ids: the tokens `[N]`.
        terms: names of `VocabularyTerms`; each costs a few passes over the chunk.
        teacher: its last hidden states `[N, d']` and its head, where a term needs them.
        chunk_size: tokens in a chunk; by default as many as the device's budget allows.

    Raises:
        ValueError: a term that there is not, or that needs a teacher where none is given.
    """
    head, teacher, chunks = _checked(hidden, head, terms, teacher, chunk_size)
    parts = []
    with torch.autocast(hidden.device.type, enabled=False):
        for rows in chunks:
            logits, teacher_logits = _logits(hidden, head, teacher, rows)
            for block, _ in _blocks(head, logits, teacher_logits, ids[rows]):
                parts.append([block.term(name) for name in terms])
            del logits, teacher_logits  # freed before the next ones are made
    return VocabularyTerms.of(terms, map(torch.cat, zip(*parts, strict=True)))


def vocabulary_loss(
    hidden: Tensor,
    head: Head,
    ids: Tensor,
    terms: Sequence[str],
    loss: Callable[..., Tensor],
    given: Sequence[Tensor] = (),
    teacher: Teacher | None = None,
    chunk_size: int | None = None,
) -> tuple[Tensor, VocabularyTerms]:
    """The sum over N tokens of their loss, and the `terms` that it is made of.

    The sum has a gradient, to the student's hidden states and head alone; the terms have none.
    Backward, once only, multiplies by the gradient of the sum; so what divides the sum should come
    after, lest half precision loses small numbers.

    Args:
        loss: `loss(terms, *given)` of a chunk of tokens, all `[n]`, is the loss of each, `[n]`.
        given: what else a token's loss is made of, `[N]` each.

    The other arguments, and what is raised, are those of `vocabulary_terms`.
    """
    head, teacher, chunks = _checked(hidden, head, terms, teacher, chunk_size)
    with torch.autocast(hidden.device.type, enabled=False):
        # An own argument for each tensor that is to have a gradient.
        total, *values = _ChunkedLoss.apply(
            hidden.to(head.weight.dtype), head.weight, head.bias,
            head, ids, terms, loss, given, teacher, chunks,
        )  # fmt: skip
    return total, VocabularyTerms.of(terms, values)


def _checked(
    hidden: Tensor, head: Head, terms: Sequence[str], teacher: Teacher | None, size: int | None
) -> tuple[Head, Teacher | None, list[slice]]:
    """The head in the type to compute in, the teacher if there is need, the rows of each chunk."""
    if not terms or set(terms) - set(TERMS):
        raise ValueError(f"terms={list(terms)}: they must be some of {', '.join(TERMS)}")
    with_teacher = bool(NEED_TEACHER & set(terms))
    if with_teacher and teacher is None:
        raise ValueError(f"terms={list(terms)} need teacher=(hidden states, head)")
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        bias = None if head.bias is None else head.bias.to(dtype)
        head = replace(head, weight=head.weight.to(dtype), bias=bias)
    size = size or default_chunk_size(hidden.device, head.vocab_size)
    count = max(1, -(-len(hidden) // size))
    bounds = [len(hidden) * i // count for i in range(count + 1)]  # about alike
    chunks = [slice(*ends) for ends in pairwise(bounds)]
    return head, teacher if with_teacher else None, chunks


@dataclass(frozen=True)
class _Block:
    """Some tokens `[n]`, and their log q and log p `[n, V]`.

    `slope` is d logits / d (hidden @ weight + bias), `[n, V]` or one number; None for 1.
    """

    ids: Tensor
    log_q: Tensor
    log_p: Tensor | None
    slope: Tensor | float | None

    def term(self, name: str) -> Tensor:
        """A term `[n]` by its plain definition."""
        match name:
            case "log_probs":
                return divergences.token_log_probs(self.log_q, self.ids)
            case "reverse_kl":
                return _kl(self.log_q, self.log_p)
            case "entropy":
                return divergences.entropy(self.log_q)
            case "forward_kl":
                return _kl(self.log_p, self.log_q)
        raise ValueError(name)

    def gradient(self, values: VocabularyTerms, grads: VocabularyTerms) -> Tensor:
        """Sum over terms of their gradient by `hidden @ weight + bias` times `grads` `[n]`.

        `values` are the terms', and `grads` None for those without a gradient. A token that q
        excludes (`LOG_ZERO`) has no gradient of its own.
        """
        q = self.log_q.exp()
        offset = torch.zeros_like(q[:, 0])  # what q is multiplied by, the same for all tokens
        factor = None  # and what is not
        chosen = teacher = None
        if grads.log_probs is not None:
            chosen = grads.log_probs * (values.log_probs > LOG_ZERO)
            offset -= chosen
        if grads.forward_kl is not None:
            teacher = self.log_p.exp().masked_fill_(self.log_q <= LOG_ZERO, 0.0)
            teacher *= grads.forward_kl[:, None]
            offset += teacher.sum(-1)
        if grads.reverse_kl is not None:
            offset -= grads.reverse_kl * values.reverse_kl
            factor = (self.log_q - self.log_p).mul_(grads.reverse_kl[:, None])
        if grads.entropy is not None:
            offset -= grads.entropy * values.entropy
            weighted = self.log_q * -grads.entropy[:, None]
            factor = weighted if factor is None else factor.add_(weighted)
        offset = offset[:, None]
        gradient = q.mul_(offset if factor is None else factor.add_(offset))
        if teacher is not None:
            gradient -= teacher
        if chosen is not None:
            gradient.scatter_add_(-1, self.ids[:, None], chosen[:, None])
        return gradient if self.slope is None else gradient.mul_(self.slope)


def _logits(
    hidden: Tensor, head: Head, teacher: Teacher | None, rows: slice
) -> tuple[Tensor, Tensor | None]:
    """Those of a chunk, the student's and the teacher's."""
    return head.logits(hidden[rows]), teacher and teacher[1].logits(teacher[0][rows])


def _blocks(
    head: Head, logits: Tensor, teacher_logits: Tensor | None, ids: Tensor, *given: Tensor
) -> Iterator[tuple[_Block, list[Tensor]]]:
    """A chunk cut up: each block, then its part of the student's logits and of all `given`."""
    teacher = repeat(None) if teacher_logits is None else teacher_logits.chunk(BLOCKS)
    parts = zip(*(x.chunk(BLOCKS) for x in (ids, logits, *given)), strict=True)
    for (own_ids, z, *own), p in zip(parts, teacher, strict=False):
        slope = None if head.scale == 1 else head.scale
        if head.softcap is not None:
            slope = head.scale * (1 - (at_least_float32(z) / head.softcap).square())
        log_p = None if p is None else _log_softmax(p)
        yield _Block(own_ids, _log_softmax(z), log_p, slope), [z, *own]


def _log_softmax(logits: Tensor) -> Tensor:
    """`divergences.log_softmax` with one temporary less."""
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return logits.log_softmax(-1, dtype=dtype).clamp_(min=LOG_ZERO)


def _kl(log_a: Tensor, log_b: Tensor) -> Tensor:
    """`divergences.reverse_kl` with one temporary less."""
    return log_a.exp().mul_(log_a - log_b).sum(-1)


class _ChunkedLoss(torch.autograd.Function):
    """The sum of the losses, and the terms `[N]` each, in the order of `terms`."""

    @staticmethod
    def forward(ctx, hidden, weight, bias, head, ids, terms, loss, given, teacher, chunks):
        # Gradients add up over chunks in float32 or better.
        ctx.dtype, dtype = hidden.dtype, torch.promote_types(hidden.dtype, torch.float32)
        ctx.gradients = [
            None if x is None else torch.zeros_like(x, dtype=dtype) for x in (hidden, weight, bias)
        ]
        total, parts = hidden.new_zeros((), dtype=dtype), []
        for rows in chunks:
            logits, teacher_logits = _logits(hidden, head, teacher, rows)
            columns = ids[rows], *(x[rows] for x in given)
            for block, (place, *own) in _blocks(head, logits, teacher_logits, *columns):
                parts.append([block.term(name).requires_grad_() for name in terms])
                values = VocabularyTerms.of(terms, parts[-1])
                with torch.enable_grad():
                    losses = loss(values, *own).sum()
                grads = torch.autograd.grad(losses, parts[-1], allow_unused=True)
                total += losses.detach()
                # In the logits' place, and rounded as they are.
                place.copy_(block.gradient(values, VocabularyTerms.of(terms, grads)))
            _add_gradient(ctx.gradients, logits, hidden, head.weight[: head.vocab_size], rows)
            del logits, teacher_logits, place, block  # freed before the next ones are made
        found = [torch.cat(column) for column in zip(*parts, strict=True)]
        ctx.mark_non_differentiable(*found)
        return total, *found

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, *_):
        if ctx.gradients is None:
            raise RuntimeError("the gradients of vocabulary_loss can be taken once only")
        # Let go of and scaled in place, so that what takes them up need not copy them.
        gradients, ctx.gradients = ctx.gradients, None
        return *(x if x is None else x.mul_(grad).to(ctx.dtype) for x in gradients), *[None] * 7


def _add_gradient(
    sums: list[Tensor | None], gradient: Tensor, hidden: Tensor, weight: Tensor, rows: slice
) -> None:
    """Add to those of hidden, weight and bias what comes of a chunk's by the logits `[n, V]`."""
    of_hidden, of_weight, of_bias = sums
    size = len(weight)
    if of_bias is not None:
        of_bias[:size] += gradient.sum(0, dtype=of_bias.dtype)
    of_hidden[rows] = gradient @ weight
    if of_weight.dtype == gradient.dtype:
        of_weight[:size].addmm_(gradient.T, hidden[rows])
    else:
        of_weight[:size] += gradient.T @ hidden[rows]
