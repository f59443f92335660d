"""Metrics that show early that a policy degenerates: repetition, and the spread of the weights."""

from collections.abc import Callable

import torch
from torch import Tensor

from minillm.objectives.precision import at_least_float32

# Pairs of n-grams that are compared at once. The pairs of a response grow with its squared length.
_PAIRS = 2**22


def repetition(ids: Tensor, mask: Tensor, n: int = 4) -> Tensor:
    """Share `[B]` of the n-grams of a response that occur earlier in the response.

    The share is 0 for a response of less than n tokens.

    Args:
        ids: `[B, T]`.
        mask: `[B, T]`.
        n: number of tokens per n-gram.
    """
    count = ids.shape[1] - n + 1
    if count < 1:
        return torch.zeros(len(ids), device=ids.device)
    rows = max(1, _PAIRS // count**2)
    parts = zip(ids.split(rows), mask.split(rows), strict=True)
    return torch.cat([_repetition(*part, n, count) for part in parts])


def _repetition(ids: Tensor, mask: Tensor, n: int, count: int) -> Tensor:
    """`repetition` of some rows, of which each has places for `count` n-grams."""
    is_real = mask.bool().unfold(1, n, 1).all(-1)  # [B, count]
    is_equal = torch.ones(len(ids), count, count, dtype=torch.bool, device=ids.device)
    for shift in range(n):
        tokens = ids[:, shift : shift + count]
        is_equal &= tokens[:, :, None] == tokens[:, None]
    is_repeated = (is_equal & is_real[:, None, :]).tril(-1).any(-1) & is_real
    return is_repeated.sum(-1) / is_real.sum(-1).clamp(min=1)


def effective_sample_share(
    weights: Tensor,
    mask: Tensor,
    total: Callable[[Tensor], Tensor] = lambda sums: sums,
    largest: Callable[[Tensor], Tensor] = lambda value: value,
) -> Tensor:
    """(sum w)^2 / (N sum w^2) over the N tokens.

    The share is 1 if all weights are equal, 1/N if only one is not 0, and 0 without tokens. `total`
    sums a tensor over all processes, and `largest` takes the maximum over all processes.
    """
    weights = at_least_float32(weights) * mask
    # Division by the largest weight keeps the squares in the range of float32.
    weights = weights / largest(weights.amax()).clamp(min=torch.finfo(weights.dtype).tiny)
    sums = torch.stack([weights.sum(), weights.square().sum(), mask.sum().to(weights.dtype)])
    weight_sum, square_sum, count = total(sums)
    return weight_sum**2 / (count * square_sum).clamp(min=1)
