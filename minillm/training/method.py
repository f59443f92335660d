"""What the training loop needs from a method: batches, the loss of a forward pass, and state.

The loop divides the sum of the losses of a part by the count of the part, both over the whole
optimiser step (all micro-batches and processes). So the result does not depend on how the step is
divided into micro-batches and processes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn

from minillm.training.metrics import Metrics


@dataclass(frozen=True)
class MicroBatch:
    """The data of one forward pass.

    Attributes:
        part: name of the part of the method.
        data: input of the loss of the part.
        count: number of tokens of the loss. The loop divides the losses of a part by the sum of
            its counts over the whole step.
    """

    part: str
    data: Any
    count: int


@dataclass(frozen=True)
class StepBatch:
    """The micro-batches of one optimiser step on one process, and metrics of the collection."""

    micro_batches: list[MicroBatch]
    metrics: Metrics = field(default_factory=dict)


class Method(Protocol):
    """The interface of a method. `minillm.methods.Method` implements it."""

    # Whether training uses dropout. The policy gradient does not, because dropout would change its
    # ratios, which must be 1 at q = q_old.
    dropout: bool
    # Number of sequences in one pass over the training data.
    epoch_size: int
    # Whether all processes have the same state. Then the number of processes may change later.
    state_is_shared: bool
    # Number of steps for which one collection of responses lasts; 1 if all steps are alike.
    steps_per_collection: int
    # Metrics that the progress bar shows: name of the metric -> short text.
    shown: dict[str, str]

    def batches(self) -> Iterator[StepBatch]:
        """Endless batches. A request for a batch may sample responses from the current student."""
        ...

    def loss(
        self, module: nn.Module, micro_batch: MicroBatch, totals: dict[str, float]
    ) -> tuple[Tensor, Metrics]:
        """The contribution of a micro-batch to the loss of the step, and metrics.

        The contribution is the sum of the losses divided by the total count of the part.

        Args:
            module: the student as the training engine wraps it.
            micro_batch: a micro-batch from `batches()`.
            totals: the count of each part, summed over the whole step.
        """
        ...

    def modules(self) -> nn.ModuleDict:
        """Modules that are trained, sharded and saved with the student, but are not exported."""
        ...

    def after_step(self, step: int) -> None:
        """Called on all processes after optimiser step number `step` (from 1)."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The state of this process: positions and random states.

        May be called between any two batches.
        """
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state from `state_dict`. Called before the first batch."""
        ...

    def shared_state_dict(self) -> dict[str, Any]:
        """The state that is the same on all processes. Only the main process saves it."""
        ...

    def load_shared_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state from `shared_state_dict`. Called before the first batch."""
        ...
