"""Per-token terms over the whole vocabulary from hidden states, a chunk of tokens at a time.

What `divergences` defines on log-probabilities `[N, V]` is computed here from last hidden states
`[N, d]` and output heads, without `[N, V]`: a chunk's logits are made, summed up and dropped, and
made again in backward, where their gradient has a closed form. With q the student, p the teacher
and z the student's logits,

    d log q_y    / dz = onehot(y) - q                       (one token's log-probability)
    d KL[q || p] / dz = q (log q - log p - KL[q || p])      (the single-step term of eq. 3)
    d H[q]       / dz = -q (log q + H[q])
    d KL[p || q] / dz = q - p                               (word-level distillation)

The last chunk's log-probabilities are kept for backward, so one that holds all tokens is made once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from minillm.objectives import divergences
from minillm.objectives.precision import LOG_ZERO, at_least_float32

# Numbers in one chunk's logits. On a CPU, 24 MiB of float32: passes over them stay in the cache,
# and malloc hands the same memory out again (above 32 MiB glibc maps new pages each time, which
# costs more than the arithmetic). Other devices need larger matrices to be busy.
CPU_BUDGET, DEVICE_BUDGET = 6 * 2**20, 64 * 2**20


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

    def to(self, dtype: torch.dtype) -> "Head":
        bias = None if self.bias is None else self.bias.to(dtype)
        return replace(self, weight=self.weight.to(dtype), bias=bias)


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


TERMS = tuple(field.name for field in fields(VocabularyTerms))
NEED_TEACHER = {"reverse_kl", "forward_kl"}


def vocabulary_terms(
    hidden: Tensor,
    head: Head,
    ids: Tensor,
    terms: Sequence[str],
    teacher_hidden: Tensor | None = None,
    teacher_head: Head | None = None,
    chunk_size: int | None = None,
) -> VocabularyTerms:
    """The `terms` of N tokens, with gradient to the student's hidden states and head alone.

    Under autocast the student's logits are made in its type, as the head itself would.

    Args:
        hidden: the student's last hidden states `[N, d]` that predict each token.
        head: the student's.
        ids: the tokens `[N]`.
        terms: names of `VocabularyTerms`; each costs a few passes over the chunk.
        teacher_hidden: the teacher's `[N, d']`, where a term needs them.
        teacher_head: the teacher's.
        chunk_size: tokens in a chunk; by default as many as the device's budget allows.

    Raises:
        ValueError: a term that there is not, or that needs a teacher where none is given.
    """
    head, tokens, chunk_size = _checked(
        hidden, head, ids, terms, teacher_hidden, teacher_head, chunk_size
    )
    with torch.autocast(hidden.device.type, enabled=False):
        # An own argument for each tensor that is to have a gradient.
        values = _ChunkedTerms.apply(
            hidden.to(head.weight.dtype), head.weight, head.bias, head, tokens, terms, chunk_size
        )
    return VocabularyTerms(**dict(zip(terms, values, strict=True)))


def vocabulary_loss(
    hidden: Tensor,
    head: Head,
    ids: Tensor,
    terms: Sequence[str],
    loss: Callable[[VocabularyTerms, slice], Tensor],
    teacher_hidden: Tensor | None = None,
    teacher_head: Head | None = None,
    chunk_size: int | None = None,
) -> tuple[Tensor, VocabularyTerms]:
    """The sum over N tokens of their loss, with gradient, and the `terms` that it is made of.

    Where a token's loss hangs on its own terms alone, a chunk's gradient is known as soon as its
    logits are, so that they are made once: no chunk is kept for backward, and none is made again.
    Backward, once only, multiplies by the gradient of the sum; so what divides the sum should come
    after, lest half precision loses small numbers.

    Args:
        loss: from the terms `[n]` of a chunk, and the place of its tokens among the N, to `[n]`.

    The other arguments, and what is raised, are those of `vocabulary_terms`.
    """
    head, tokens, chunk_size = _checked(
        hidden, head, ids, terms, teacher_hidden, teacher_head, chunk_size
    )
    with torch.autocast(hidden.device.type, enabled=False):
        total, *values = _ChunkedLoss.apply(
            hidden.to(head.weight.dtype), head.weight, head.bias,
            head, tokens, terms, loss, chunk_size,
        )  # fmt: skip
    return total, VocabularyTerms(**dict(zip(terms, values, strict=True)))


def _checked(
    hidden: Tensor,
    head: Head,
    ids: Tensor,
    terms: Sequence[str],
    teacher_hidden: Tensor | None,
    teacher_head: Head | None,
    chunk_size: int | None,
) -> tuple[Head, "_Tokens", int]:
    """The head in the type to compute in, what has no gradient, and the tokens of a chunk."""
    unknown = [name for name in terms if name not in TERMS]
    if unknown or not terms:
        raise ValueError(f"terms={list(terms)}: they must be some of {', '.join(TERMS)}")
    with_teacher = bool(NEED_TEACHER & set(terms))
    if with_teacher and (teacher_hidden is None or teacher_head is None):
        raise ValueError(f"terms={list(terms)} need teacher_hidden and teacher_head")
    chunk_size = chunk_size or default_chunk_size(hidden.device, head.vocab_size)
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        head = head.to(torch.get_autocast_dtype(device))
    tokens = _Tokens(
        ids,
        teacher_hidden.detach() if with_teacher else None,
        teacher_head if with_teacher else None,
    )
    return head, tokens, chunk_size


@dataclass(frozen=True)
class _Tokens:
    """All about N tokens, or a chunk of them, that has no gradient."""

    ids: Tensor
    teacher_hidden: Tensor | None
    teacher_head: Head | None

    def __getitem__(self, rows: slice) -> "_Tokens":
        hidden = None if self.teacher_hidden is None else self.teacher_hidden[rows]
        return replace(self, ids=self.ids[rows], teacher_hidden=hidden)


@dataclass(frozen=True)
class _Distributions:
    """A chunk's log q and log p `[n, V]`, and d logits / d (logits before soft-capping)."""

    log_q: Tensor
    log_p: Tensor | None
    slope: Tensor | None

    @staticmethod
    def of(hidden: Tensor, head: Head, tokens: _Tokens) -> "_Distributions":
        logits = head.logits(hidden)
        slope = None
        if head.softcap is not None:
            slope = 1 - (at_least_float32(logits) / head.softcap).square()
        log_q, log_p = _log_softmax_(logits), None
        if tokens.teacher_head is not None:
            log_p = _log_softmax_(tokens.teacher_head.logits(tokens.teacher_hidden))
        return _Distributions(log_q, log_p, slope)

    def term(self, name: str, ids: Tensor) -> Tensor:
        """A term `[n]` by its plain definition."""
        match name:
            case "log_probs":
                return divergences.token_log_probs(self.log_q, ids)
            case "reverse_kl":
                # As `divergences.reverse_kl`, with a temporary less.
                return self.log_q.exp().mul_(self.log_q - self.log_p).sum(-1)
            case "entropy":
                return divergences.entropy(self.log_q)
            case "forward_kl":
                return divergences.forward_kl(self.log_q, self.log_p)
        raise ValueError(name)

    def gradient(self, ids: Tensor, values: dict[str, Tensor], grads: dict[str, Tensor]) -> Tensor:
        """Sum over terms of their gradient by the logits `[n, V]` times `grads` `[n]`.

        `values` are the terms'. A token that q excludes (`LOG_ZERO`) has no gradient of its own.
        """
        grads = {name: grad[:, None] for name, grad in grads.items()}
        q = self.log_q.exp()
        offset = torch.zeros_like(q[:, :1])  # what q is multiplied by, the same for all tokens
        factor = None  # and what is not
        chosen = teacher = None
        if "log_probs" in grads:
            chosen = grads["log_probs"] * (values["log_probs"][:, None] > LOG_ZERO)
            offset -= chosen
        if "forward_kl" in grads:
            teacher = self.log_p.exp().masked_fill_(self.log_q <= LOG_ZERO, 0.0)
            teacher *= grads["forward_kl"]
            offset += teacher.sum(-1, keepdim=True)
        if "reverse_kl" in grads:
            offset -= grads["reverse_kl"] * values["reverse_kl"][:, None]
            factor = (self.log_q - self.log_p).mul_(grads["reverse_kl"])
        if "entropy" in grads:
            offset -= grads["entropy"] * values["entropy"][:, None]
            weighted = self.log_q * -grads["entropy"]
            factor = weighted if factor is None else factor.add_(weighted)
        gradient = q.mul_(offset if factor is None else factor.add_(offset))
        if teacher is not None:
            gradient -= teacher
        if chosen is not None:
            gradient.scatter_add_(-1, ids[:, None], chosen)
        return gradient if self.slope is None else gradient.mul_(self.slope)


def _log_softmax_(logits: Tensor) -> Tensor:
    """`divergences.log_softmax` with one temporary less."""
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return logits.log_softmax(-1, dtype=dtype).clamp_(min=LOG_ZERO)


def _chunks(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


class _ChunkedTerms(torch.autograd.Function):
    """Terms `[N]` each, in the order of `terms`."""

    @staticmethod
    def forward(ctx, hidden, weight, bias, head, tokens, terms, chunk_size):
        dtype = torch.promote_types(hidden.dtype, torch.float32)
        values = [hidden.new_empty(len(hidden), dtype=dtype) for _ in terms]
        last = _Distributions(None, None, None)
        for rows in _chunks(len(hidden), chunk_size):
            last = None  # freed before the next one is made
            last = _Distributions.of(hidden[rows], head, tokens[rows])
            for name, value in zip(terms, values, strict=True):
                value[rows] = last.term(name, tokens.ids[rows])
        ctx.save_for_backward(hidden, weight, bias, last.log_q, last.log_p, last.slope, *values)
        # Its tensors are those saved: sharded training frees and restores them in between.
        ctx.head = replace(head, weight=None, bias=None)
        ctx.tokens, ctx.terms, ctx.chunk_size = tokens, terms, chunk_size
        ctx.set_materialize_grads(False)
        return tuple(values)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):
        hidden, weight, bias, *kept = ctx.saved_tensors
        last, values = _Distributions(*kept[:3]), dict(zip(ctx.terms, kept[3:], strict=True))
        given = {
            name: grad for name, grad in zip(ctx.terms, grads, strict=True) if grad is not None
        }
        head = replace(ctx.head, weight=weight, bias=bias)
        gradients = _HeadGradients(hidden, head, ctx.needs_input_grad)
        for rows in reversed(list(_chunks(len(hidden), ctx.chunk_size))):
            part = ctx.tokens[rows]
            distributions = last or _Distributions.of(hidden[rows], head, part)
            last = None
            gradients.add(
                rows,
                distributions.gradient(
                    part.ids,
                    {name: value[rows] for name, value in values.items()},
                    {name: grad[rows] for name, grad in given.items()},
                ),
            )
        return *gradients.finish(), None, None, None, None


class _ChunkedLoss(torch.autograd.Function):
    """The sum of the losses, and the terms `[N]` each, in the order of `terms`."""

    @staticmethod
    def forward(ctx, hidden, weight, bias, head, tokens, terms, loss, chunk_size):
        dtype = torch.promote_types(hidden.dtype, torch.float32)
        values = [hidden.new_empty(len(hidden), dtype=dtype) for _ in terms]
        total = hidden.new_zeros((), dtype=dtype)
        gradients = _HeadGradients(hidden, head, ctx.needs_input_grad)
        for rows in _chunks(len(hidden), chunk_size):
            part = tokens[rows]
            distributions = _Distributions.of(hidden[rows], head, part)
            found = {name: distributions.term(name, part.ids) for name in terms}
            for name, value in zip(terms, values, strict=True):
                value[rows] = found[name]
            given = {name: value.requires_grad_() for name, value in found.items()}
            with torch.enable_grad():
                losses = loss(VocabularyTerms(**given), rows).sum()
            grads = torch.autograd.grad(losses, list(given.values()), allow_unused=True)
            grads = {n: x for n, x in zip(terms, grads, strict=True) if x is not None}
            total += losses.detach()
            if grads:
                gradients.add(rows, distributions.gradient(part.ids, found, grads))
            del distributions  # freed before the next one is made
        ctx.gradients = gradients
        ctx.mark_non_differentiable(*values)
        return total, *values

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, *_):
        if ctx.gradients is None:
            raise RuntimeError("the gradients of vocabulary_loss can be taken once only")
        # Let go of, so that what takes them up need not copy them.
        gradients, ctx.gradients = ctx.gradients, None
        return *gradients.finish(grad), None, None, None, None, None


class _HeadGradients:
    """Gradients of hidden states, weight and bias, added up over chunks in float32 or better."""

    def __init__(self, hidden: Tensor, head: Head, needed: Sequence[bool]) -> None:
        self.inputs, self.head = hidden, head
        self.hidden, self.weight, self.bias = (
            torch.zeros_like(x, dtype=torch.promote_types(x.dtype, torch.float32)) if need else None
            for x, need in zip((hidden, head.weight, head.bias), needed, strict=False)
        )

    def add(self, rows: slice, gradient: Tensor) -> None:
        """A chunk's part: `gradient` `[n, V]` by the logits."""
        size = self.head.vocab_size
        if self.head.scale != 1:
            gradient = gradient * self.head.scale
        if self.bias is not None:
            self.bias[:size] += gradient.sum(0)
        gradient = gradient.to(self.head.weight.dtype)  # of the matrix products, as in forward
        if self.hidden is not None:
            self.hidden[rows] = gradient @ self.head.weight[:size]
        if self.weight is not None:
            if self.weight.dtype == gradient.dtype:
                self.weight[:size].addmm_(gradient.T, self.inputs[rows])
            else:
                self.weight[:size] += gradient.T @ self.inputs[rows]

    def finish(self, scale: Tensor | None = None) -> tuple[Tensor | None, ...]:
        """The gradients in the type of the weights; times `scale`, in place, where it is given."""
        dtype = self.head.weight.dtype
        totals = self.hidden, self.weight, self.bias
        if scale is not None:
            totals = (None if total is None else total.mul_(scale) for total in totals)
        return tuple(None if total is None else total.to(dtype) for total in totals)
