"""What the loop needs of a method: batches, the loss of a forward pass, and state.

The loop divides the sum of a part's losses by the part's count over the whole optimiser step (all
micro-batches, all processes), so how a step is cut up changes nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn

from minillm.training.metrics import Metrics


@dataclass(frozen=True)
class MicroBatch:
    """One forward pass.

    Attributes:
        part: the part of the method that it belongs to.
        data: what the part's loss needs.
        count: what the sum of the part's losses is divided by, summed over the step: tokens.
    """

    part: str
    data: Any
    count: int


@dataclass(frozen=True)
class StepBatch:
    """One optimiser step of one process, and the metrics of its collection."""

    micro_batches: list[MicroBatch]
    metrics: Metrics = field(default_factory=dict)


class Method(Protocol):
    """A source of sequences, a loss and a teacher (one loop, three choices)."""

    # Whether the student drops units out in training. On-policy ratios must be 1 at q = q_old.
    dropout: bool
    # Sequences that are trained on in one pass over the training data.
    epoch_size: int
    # Whether all processes have the same state, so that another number of processes can go on.
    state_is_shared: bool
    # Metrics that the progress bar shows: name of the metric -> short text.
    shown: dict[str, str]

    def batches(self) -> Iterator[StepBatch]:
        """Batches without end, drawn from the student as it is when the next one is asked for."""
        ...

    def loss(
        self, module: nn.Module, micro_batch: MicroBatch, totals: dict[str, float]
    ) -> tuple[Tensor, Metrics]:
        """The micro-batch's share of the loss: its sum divided by the total of its part.

        Args:
            module: the student as the loop has wrapped it.
            micro_batch: one of `batches()`.
            totals: the count of each part, summed over the whole step.
        """
        ...

    def modules(self) -> nn.ModuleDict:
        """Modules trained beside the student: wrapped, sharded and saved with it, not exported."""
        ...

    def after_step(self, step: int) -> None:
        """Called on all processes after optimiser step number `step` (from 1)."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The state of this process: positions and random states. Callable between two batches."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, before the first batch."""
        ...

    def shared_state_dict(self) -> dict[str, Any]:
        """The state that is the same on all processes; the main process saves it."""
        ...

    def load_shared_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `shared_state_dict` returned, before the first batch."""
        ...
