"""The interface of a loss: it divides a batch into forward passes and computes their losses."""

from typing import Any, Protocol

from torch import Tensor, nn

from minillm.sampling.rollout import Rollout
from minillm.sources.source import TrainingBatch
from minillm.training.metrics import Metrics


class Loss(Protocol):
    """Computes losses of the batches of a source. A loss is a sum over tokens."""

    # Metrics that the progress bar shows: name of the metric -> short text.
    shown: dict[str, str]

    def micro_batches(self, batch: TrainingBatch, size: int | None) -> list[Any]:
        """Divide a batch into parts. Each part is one forward pass.

        Args:
            batch: the sequences of one process for one optimiser step.
            size: maximum number of sequences per part; None for a single part.
        """
        ...

    def __call__(self, module: nn.Module, part: Any) -> tuple[Tensor, Metrics]:
        """The sum of the losses of all tokens of a part, with gradient; and metrics.

        Args:
            module: the student as the training engine wraps it.
            part: a part from `micro_batches`.
        """
        ...

    def tokens(self, part: Any) -> int:
        """The number of tokens of a part. The loss of the part is the sum over these tokens."""
        ...

    def collection_metrics(self, collection: Rollout) -> Metrics:
        """Metrics that the loss computes from a new collection of responses."""
        ...

    def modules(self) -> dict[str, nn.Module]:
        """Modules that are trained beside the student, and are not part of the exported model."""
        ...


def by_length(batch: TrainingBatch, size: int | None) -> list[Tensor]:
    """Row indices of each part of a batch, in host memory.

    Rows of a part have similar lengths, so that little padding is needed.
    """
    order = batch.lengths.argsort(stable=True)
    return list(order.split(size or len(order)))
