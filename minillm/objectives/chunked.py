"""Losses over the whole vocabulary from hidden states, computed one chunk of tokens at a time.

Terms that are defined on log-probabilities `[N, V]` are computed from last hidden states `[N, d]`
and an output head, without a tensor `[N, V]`. The logits of a chunk are made once, reduced to the
terms of its tokens, replaced by their own gradient, and dropped. The loss of a token may depend on
the terms of that token in any way, but not on the terms of other tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from minillm.objectives.head import Head
from minillm.objectives.precision import product
from minillm.objectives.targets import Targets
from minillm.objectives.terms import Block, Terms

# Numbers in the logits of one chunk. On a CPU, 24 MiB of float32: enough tokens for fast products,
# and malloc reuses the memory (above 32 MiB glibc maps new pages each time, which costs more than
# the arithmetic). Other devices need larger matrices to be busy.
CPU_BUDGET, DEVICE_BUDGET = 6 * 2**20, 64 * 2**20
# Everything but the matrix products is done block by block: a block stays in the CPU's cache, and
# temporary tensors are small.
BLOCKS = 8

TokenLoss = Callable[..., Tensor]  # loss(values of the terms, *given) of n tokens is [n]
Values = dict[str, Tensor]  # one number per token for each term


def default_chunk_size(device: torch.device, vocab_size: int) -> int:
    """The number of tokens whose logits fit the budget of the device."""
    budget = CPU_BUDGET if device.type == "cpu" else DEVICE_BUDGET
    return max(1, budget // vocab_size)


@torch.no_grad()
def vocabulary_terms(
    hidden: Tensor,
    head: Head,
    ids: Tensor,
    *,
    terms: Terms,
    targets: Targets | None = None,
    chunk_size: int | None = None,
) -> Values:
    """The values of the terms of N tokens, `[N]` each, without gradient.

    Args:
        hidden: the student's last hidden states `[N, d]` that predict the tokens.
        head: the student's output head.
        ids: the tokens `[N]`.
        terms: the terms by name.
        targets: of the N tokens; needed if a term compares with a teacher.
        chunk_size: tokens per chunk; by default as many as the budget of the device allows.

    Raises:
        ValueError: no terms are given, or a term needs targets and none are given.
    """
    work = _Work.plan(hidden, head, ids, terms, targets=targets, chunk_size=chunk_size)
    parts: list[list[Tensor]] = []
    with torch.autocast(hidden.device.type, enabled=False):
        for rows in work.chunks:
            logits = work.head.logits(hidden[rows])
            parts += [work.values(block) for block, _ in work.blocks(rows, logits)]
            del logits  # freed before the logits of the next chunk are made
    return work.named(parts)


def vocabulary_loss(
    hidden: Tensor,
    head: Head,
    ids: Tensor,
    *,
    terms: Terms,
    loss: TokenLoss,
    given: Sequence[Tensor] = (),
    targets: Targets | None = None,
    chunk_size: int | None = None,
) -> tuple[Tensor, Values]:
    """The sum of the losses of N tokens, and the values of the terms `[N]` without gradient.

    The sum has a gradient by the student's hidden states, head weight and head bias. Backward can
    run once. It multiplies by the gradient of the sum, so divide the sum after this function, not
    inside `loss`: half precision loses small numbers.

    Args:
        loss: `loss(values, *given)` of n tokens is their loss `[n]`; `values` maps the names of the
            terms to `[n]`.
        given: further inputs of `loss`, `[N]` each.

    The other arguments and the errors are those of `vocabulary_terms`.
    """
    work = _Work.plan(hidden, head, ids, terms, targets=targets, chunk_size=chunk_size)
    with torch.autocast(hidden.device.type, enabled=False):
        # Every tensor that is to have a gradient is an argument of its own.
        total, *values = _ChunkedLoss.apply(
            hidden.to(work.head.weight.dtype), work.head.weight, work.head.bias, work, loss, given
        )
    return total, dict(zip(terms, values, strict=True))


@dataclass(frozen=True)
class _Work:
    """What is computed of N tokens, and in which chunks."""

    head: Head  # with its weight in the dtype of the products
    ids: Tensor
    terms: Terms
    targets: Targets | None
    chunks: list[slice]

    @staticmethod
    def plan(
        hidden: Tensor, head: Head, ids: Tensor, terms: Terms, *, targets: Targets | None,
        chunk_size: int | None,
    ) -> "_Work":  # fmt: skip
        if not terms:
            raise ValueError("no terms are given: name at least one, such as TokenLogProb()")
        lacking = [name for name, term in terms.items() if term.needs_targets]
        if lacking and targets is None:
            raise ValueError(
                f"the terms {', '.join(lacking)} compare with a teacher: give its targets"
            )
        size = chunk_size or default_chunk_size(hidden.device, head.vocab_size)
        count = max(1, -(-len(hidden) // size))
        bounds = [len(hidden) * i // count for i in range(count + 1)]  # chunks of similar size
        chunks = [slice(*ends) for ends in pairwise(bounds)]
        return _Work(head.ready(), ids, terms, targets if lacking else None, chunks)

    def blocks(
        self, rows: slice, logits: Tensor, given: Sequence[Tensor] = ()
    ) -> Iterator[tuple[Block, list[Tensor]]]:
        """The blocks of a chunk, each with its part of `given`."""
        targets = self.targets and self.targets.chunk(rows)
        columns = [logits, self.ids[rows], *(x[rows] for x in given)]
        start = 0
        for block_logits, ids, *block_given in zip(
            *(x.chunk(BLOCKS) for x in columns), strict=True
        ):
            end = start + len(ids)
            yield Block(ids, block_logits, targets, slice(start, end)), block_given
            start = end

    def values(self, block: Block) -> list[Tensor]:
        return [term.value(block) for term in self.terms.values()]

    def named(self, parts: list[list[Tensor]]) -> Values:
        columns = map(torch.cat, zip(*parts, strict=True))
        return dict(zip(self.terms, columns, strict=True))

    def gradient(
        self, block: Block, values: list[Tensor], weights: Sequence[Tensor | None]
    ) -> Tensor:
        """The gradient `[n, V]` by `hidden @ weight + bias` of sum_k weights_k values_k."""
        total = None
        for term, value, weight in zip(self.terms.values(), values, weights, strict=True):
            if weight is not None:
                total = term.add_gradient(block, value.detach(), weight, total)
        slope = self.head.slope(block.logits)
        return total if isinstance(slope, float) and slope == 1 else total.mul_(slope)


class _ChunkedLoss(torch.autograd.Function):
    """The sum of the losses, and the values of the terms in their order."""

    @staticmethod
    def forward(ctx, hidden, weight, bias, work, loss, given):
        # Gradients are summed over chunks in float32 or better.
        dtype = torch.promote_types(hidden.dtype, torch.float32)
        ctx.gradients = [
            torch.zeros_like(x, dtype=dtype) if needed else None
            for x, needed in zip((hidden, weight, bias), ctx.needs_input_grad, strict=False)
        ]
        total, parts = hidden.new_zeros((), dtype=dtype), []
        for rows in work.chunks:
            logits = work.head.logits(hidden[rows])
            for block, block_given in work.blocks(rows, logits, given):
                values = [value.requires_grad_() for value in work.values(block)]
                with torch.enable_grad():
                    named = dict(zip(work.terms, values, strict=True))
                    losses = loss(named, *block_given).sum()
                weights = torch.autograd.grad(losses, values, allow_unused=True)
                total += losses.detach()
                parts.append([value.detach() for value in values])
                # The gradient takes the place of the logits.
                block.logits.copy_(work.gradient(block, values, weights))
            _add_gradient(ctx.gradients, logits, hidden, weight[: work.head.vocab_size], rows)
            del logits, block  # freed before the logits of the next chunk are made
        columns = list(work.named(parts).values())
        ctx.mark_non_differentiable(*columns)
        return total, *columns

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, *_):
        if ctx.gradients is None:
            raise RuntimeError("the gradients of vocabulary_loss can be taken once only")
        # Released and scaled in place, so that the receiver need not copy them. Autograd converts
        # them to the dtypes of the inputs.
        gradients, ctx.gradients = ctx.gradients, None
        return *(x if x is None else x.mul_(grad) for x in gradients), *[None] * 3


def _add_gradient(
    sums: list[Tensor | None], gradient: Tensor, hidden: Tensor, weight: Tensor, rows: slice
) -> None:
    """Add a chunk's share to the gradients of hidden, weight and bias; None for a frozen tensor.

    `gradient` `[n, V]` is by `hidden @ weight + bias`.
    """
    hidden_sum, weight_sum, bias_sum = sums
    size = len(weight)
    if bias_sum is not None:
        bias_sum[:size] += gradient.sum(0)
    gradient = gradient.to(weight.dtype)
    if hidden_sum is not None:
        hidden_sum[rows] = product(gradient, weight)
    if weight_sum is None:
        return
    if weight_sum.dtype == gradient.dtype:
        weight_sum[:size].addmm_(gradient.T, hidden[rows])
    else:
        weight_sum[:size] += product(gradient.T, hidden[rows])
