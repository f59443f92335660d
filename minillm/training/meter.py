"""Running means of metrics, over batches and processes."""

from collections import defaultdict

import torch
from accelerate import Accelerator
from torch import Tensor

from minillm.training.metrics import Metrics


class Meter:
    """Adds up sums and counts until they are asked for; each mean weighs its counts rightly."""

    def __init__(self) -> None:
        self.sums: defaultdict[str, float | Tensor] = defaultdict(float)
        self.counts: defaultdict[str, float | Tensor] = defaultdict(float)

    def add(self, metrics: Metrics) -> None:
        for name, (total, count) in metrics.items():
            # Not in place: after a resume the first is on the CPU, whatever the device.
            self.sums[name] = self.sums[name] + total
            self.counts[name] = self.counts[name] + count

    def take(self, accelerator: Accelerator) -> dict[str, float]:
        """The means over all processes since the last call. Every process must have the names.

        A name whose count is 0 on all processes has no mean and is left out.
        """
        names = sorted(self.sums)
        pairs = torch.tensor([[float(self.sums[n]), float(self.counts[n])] for n in names])
        self.sums.clear()
        self.counts.clear()
        if not names:
            return {}
        pairs = accelerator.reduce(pairs.to(accelerator.device), "sum").tolist()
        return {n: total / count for n, (total, count) in zip(names, pairs, strict=True) if count}

    def held(self) -> Metrics:
        """What was added since the means were last asked for: for a checkpoint."""
        return {name: (total, self.counts[name]) for name, total in self.sums.items()}
