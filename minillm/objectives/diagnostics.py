"""What tells a degenerating policy early: repetition, and how far importance weights spread."""

import torch
from torch import Tensor


def repetition(ids: Tensor, mask: Tensor, n: int = 4) -> Tensor:
    """Share `[B]` of a response's n-grams that occurred in it before; 0 where it is too short.

    Args:
        ids: `[B, T]`.
        mask: `[B, T]`.
    """
    if ids.shape[1] < n:
        return torch.zeros(len(ids), device=ids.device)
    grams = ids.unfold(1, n, 1)  # [B, T-n+1, n]
    real = mask.unfold(1, n, 1).all(-1)
    same = (grams[:, :, None] == grams[:, None]).all(-1)  # [B, G, G]
    repeated = (same & real[:, None, :]).tril(-1).any(-1) & real
    return repeated.sum(-1) / real.sum(-1).clamp(min=1)


def effective_sample_share(weights: Tensor, mask: Tensor) -> Tensor:
    """(sum w)^2 / (N sum w^2) over tokens: 1 where all weights are alike, 1/N where one rules."""
    mask = mask.to(weights.dtype)
    total, squares = (weights * mask).sum(), (weights**2 * mask).sum()
    return total**2 / (mask.sum() * squares)
