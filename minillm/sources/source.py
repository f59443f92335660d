"""The interface of a source, and the type of the batches that all sources yield."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from minillm.data.batches import PromptBatch, SequenceBatch
from minillm.devices import to_device
from minillm.objectives.targets import Targets
from minillm.sampling.rollout import Rollout
from minillm.training.metrics import Metrics


@dataclass(frozen=True)
class TrainingBatch:
    """Sequences of one process, as the student reads them and as the teacher reads them.

    Attributes:
        sequences: prompts and responses as the student reads them.
        teacher_prompts: prompts that the teacher reads; None if they equal the student's prompts.
        targets: the teacher's distributions for the B * T response tokens, row by row; None if the
            source has not computed them.
        collection: all responses that were sampled together, if the sequences are some of them.
        rows: index `[B]` of each sequence in the collection, in host memory.
        is_first: whether the student has not been updated since it sampled the collection.
    """

    sequences: SequenceBatch
    teacher_prompts: PromptBatch | None = None
    targets: Targets | None = None
    collection: Rollout | None = None
    rows: Tensor | None = None
    is_first: bool = False

    @property
    def teacher_sequences(self) -> SequenceBatch:
        """The teacher's prompts with the same responses."""
        return self.sequences.with_prompts(self.teacher_prompts)

    @property
    def lengths(self) -> Tensor:
        """Number of response tokens per row, `[B]`, in host memory."""
        return self.sequences.response_lengths

    def select(self, rows: Tensor) -> "TrainingBatch":
        """The rows with the indices `rows`, cut to their longest prompt and response.

        `rows` `[B']` is in host memory.
        """
        sequences = self.sequences.select(rows)
        width, length = (x.response_ids.shape[1] for x in (self.sequences, sequences))
        tokens = (rows[:, None] * width + torch.arange(length)).flatten()
        tokens = to_device(tokens, sequences.response_ids.device)
        return TrainingBatch(
            sequences,
            self.teacher_prompts and self.teacher_prompts.select(rows),
            self.targets and self.targets.select(tokens),
            self.collection,
            None if self.rows is None else self.rows[rows],
            self.is_first,
        )

    def to(self, device: torch.device) -> "TrainingBatch":
        """Move sequences and prompts to a device. Targets and collection are not moved."""
        prompts = self.teacher_prompts and self.teacher_prompts.to(device)
        return replace(self, sequences=self.sequences.to(device), teacher_prompts=prompts)


@dataclass(frozen=True)
class SourceStep:
    """The sequences of one optimiser step on one process.

    Attributes:
        batch: the sequences of the step.
        metrics: metrics of the sampling; empty if nothing was sampled for the step.
        collection: all responses that were sampled at this step, for this step and later steps;
            None if a source does not sample, or has sampled the responses at an earlier step.
    """

    batch: TrainingBatch
    metrics: Metrics = field(default_factory=dict)
    collection: Rollout | None = None


class Source(Protocol):
    """Yields endless steps. Its state lets a resumed run continue with the same steps."""

    # Number of sequences in one pass over the training data.
    epoch_size: int
    # Whether all processes have the same state. Then the number of processes may change later.
    state_is_shared: bool
    # Number of steps for which one collection of responses lasts; 1 if all steps are alike.
    steps_per_collection: int

    def __iter__(self) -> Iterator[SourceStep]:
        """Endless steps. A request for a step may sample responses from the current student."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The position and the states of all random generators.

        May be called between any two steps.
        """
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state from `state_dict`. Called before the first step."""
        ...
