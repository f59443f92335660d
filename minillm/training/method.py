"""What a method is to the loop: a stream of batches, and the loss of one.

The loop divides every sum by its count over the whole optimiser step (all micro-batches, all
processes), so that how a step is cut up changes nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn

# A metric is a sum and the count that it is a mean over; both add up over batches and processes.
Metrics = dict[str, tuple[Tensor | float, Tensor | float]]


@dataclass(frozen=True)
class MicroBatch:
    """One forward pass: whatever the method's loss needs, and the counts that it divides by."""

    data: Any
    counts: dict[str, int]


@dataclass(frozen=True)
class StepBatch:
    """One optimiser step of one process, and what came with collecting it."""

    micro_batches: list[MicroBatch]
    metrics: Metrics = field(default_factory=dict)


class Method(Protocol):
    """A source of sequences, a divergence and a rule of credit (docs: one loop, three choices)."""

    # Whether the student drops units out in training. On-policy ratios must be 1 at q = q_old.
    dropout: bool
    # Sequences that are trained on in one pass over the training data.
    epoch_size: int
    # Whether all processes have the same state, so that another number of them can go on from it.
    state_is_shared: bool

    def batches(self) -> Iterator[StepBatch]:
        """Batches without end, drawn from the student as it is when the next one is asked for."""
        ...

    def loss(
        self, module: nn.Module, micro_batch: MicroBatch, totals: dict[str, float]
    ) -> tuple[Tensor, Metrics]:
        """The micro-batch's share of the loss: sums divided by `totals` of their counts.

        Args:
            module: the student as the loop has wrapped it.
            micro_batch: one of `batches()`.
            totals: each count summed over the whole step.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Where `batches()` stands, with all chance of its own; may be asked between any two."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on as from where `state_dict` was asked; before the first batch is drawn."""
        ...
