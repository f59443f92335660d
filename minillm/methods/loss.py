"""The interface of a loss: how a batch is cut into forward passes, and the loss of one of them."""

from typing import Any, Protocol

from torch import Tensor, nn

from minillm.sampling.rollout import Rollout
from minillm.sources.source import TrainingBatch
from minillm.training.metrics import Metrics


class Loss(Protocol):
    """Turns batches of a source into losses that are sums over tokens."""

    # Metrics that the progress bar shows: name of the metric -> short text.
    shown: dict[str, str]

    def micro_batches(self, batch: TrainingBatch, size: int | None) -> list[Any]:
        """The parts of a batch that are one forward pass each.

        Args:
            batch: the sequences of one process for one optimiser step.
            size: sequences per part at most; None for one part.
        """
        ...

    def __call__(self, module: nn.Module, part: Any) -> tuple[Tensor, Metrics]:
        """The sum of the losses of the tokens of one part, with gradient; and metrics.

        Args:
            module: the student as the training engine wraps it.
            part: one of `micro_batches`.
        """
        ...

    def tokens(self, part: Any) -> int:
        """The number of tokens that the loss of a part is a sum over."""
        ...

    def collection_metrics(self, collection: Rollout) -> Metrics:
        """What the loss can tell about a new collection of responses."""
        ...

    def modules(self) -> dict[str, nn.Module]:
        """Modules that are trained beside the student and are left out of the exported model."""
        ...


def by_length(batch: TrainingBatch, size: int | None) -> list[Tensor]:
    """The rows of each part of a batch. Rows of like length are together: little is padded."""
    order = batch.lengths.argsort(stable=True)
    return list(order.split(size or len(order)))
