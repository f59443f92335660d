"""Finds weights that are not finite numbers."""

from collections.abc import Iterable

import torch
from torch import Tensor


@torch.no_grad()
def fault_in_weights(weights: Iterable[tuple[str, Tensor]]) -> str | None:
    """The first of the named tensors with NaN or infinity, in words; None if all are finite."""
    for name, weight in weights:
        # A sum in float32 needs no further memory, and shows nearly always that all are finite.
        if not weight.sum(dtype=torch.float32).isfinite() and not weight.isfinite().all():
            count = int((~weight.isfinite()).sum())
            return f"{count} of {weight.numel()} numbers in {name} are NaN or infinite"
    return None
