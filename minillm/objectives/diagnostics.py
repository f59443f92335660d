"""What tells a degenerating policy early: repetition, and how far importance weights spread."""

from collections.abc import Callable

import torch
from torch import Tensor

from minillm.objectives.precision import at_least_float32


def repetition(ids: Tensor, mask: Tensor, n: int = 4) -> Tensor:
    """Share `[B]` of a response's n-grams that occurred in it before; 0 where it is too short.

    Args:
        ids: `[B, T]`.
        mask: `[B, T]`.
        n: tokens of an n-gram.
    """
    grams = ids.shape[1] - n + 1
    if grams < 1:
        return torch.zeros(len(ids), device=ids.device)
    real = mask.bool().unfold(1, n, 1).all(-1)  # [B, G]
    same = torch.ones(len(ids), grams, grams, dtype=torch.bool, device=ids.device)
    for shift in range(n):
        tokens = ids[:, shift : shift + grams]
        same &= tokens[:, :, None] == tokens[:, None]
    repeated = (same & real[:, None, :]).tril(-1).any(-1) & real
    return repeated.sum(-1) / real.sum(-1).clamp(min=1)


def effective_sample_share(
    weights: Tensor,
    mask: Tensor,
    total: Callable[[Tensor], Tensor] = lambda sums: sums,
    largest: Callable[[Tensor], Tensor] = lambda value: value,
) -> Tensor:
    """(sum w)^2 / (N sum w^2) over tokens: 1 where all weights are alike, 1/N where one rules.

    0 where no token counts. `total` and `largest` take sums and a maximum over processes.
    """
    weights = at_least_float32(weights) * mask
    # Squares of large or small weights would leave float32's range.
    weights = weights / largest(weights.amax()).clamp(min=torch.finfo(weights.dtype).tiny)
    sums = torch.stack([weights.sum(), weights.square().sum(), mask.sum().to(weights.dtype)])
    first, second, count = total(sums)
    return first**2 / (count * second).clamp(min=1)
