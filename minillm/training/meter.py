"""Means of metrics over batches and processes."""

from collections import defaultdict
from collections.abc import Sequence

import torch
from accelerate import Accelerator
from torch import Tensor

from minillm.devices import to_device
from minillm.training.metrics import Metrics


class Meter:
    """Adds up the sums and counts of metrics. A mean is the sum divided by the count."""

    def __init__(self) -> None:
        self.sums: defaultdict[str, float | Tensor] = defaultdict(float)
        self.counts: defaultdict[str, float | Tensor] = defaultdict(float)

    def add(self, metrics: Metrics) -> None:
        for name, (total, count) in metrics.items():
            # Not in place: sums from a checkpoint are on the CPU, and new sums may be on a GPU.
            self.sums[name] = self.sums[name] + total
            self.counts[name] = self.counts[name] + count

    def take(self, accelerator: Accelerator) -> dict[str, float]:
        """Means over all processes since the last call. All processes must have the same names.

        A name whose count is 0 on all processes has no mean and is left out.
        """
        names = sorted(self.sums)
        values = [values[n] for n in names for values in (self.sums, self.counts)]
        self.sums.clear()
        self.counts.clear()
        if not names:
            return {}
        pairs = torch.tensor(_numbers(values, accelerator.device), dtype=torch.float64)
        pairs = pairs.view(-1, 2)
        pairs = accelerator.reduce(to_device(pairs, accelerator.device), "sum").tolist()
        return {n: total / count for n, (total, count) in zip(names, pairs, strict=True) if count}

    def held(self) -> Metrics:
        """Sums and counts since the last call of `take`, for a checkpoint."""
        return {name: (total, self.counts[name]) for name, total in self.sums.items()}


def _numbers(values: Sequence[float | Tensor], device: torch.device) -> list[float]:
    """The values as numbers. The host waits for the device once, not for each tensor."""
    tensors = [to_device(x, device).double() for x in values if isinstance(x, Tensor)]
    read = iter(torch.stack(tensors).tolist() if tensors else ())
    return [next(read) if isinstance(x, Tensor) else float(x) for x in values]
