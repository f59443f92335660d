"""The interface of a source, and the batch that all sources bring."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from minillm.data.batches import PromptBatch, SequenceBatch
from minillm.objectives.targets import Targets
from minillm.sampling.rollout import Rollout
from minillm.training.metrics import Metrics


@dataclass(frozen=True)
class TrainingBatch:
    """Sequences of one process, in the views of student and teacher.

    Attributes:
        sequences: prompts and responses as the student reads them.
        teacher_prompts: the prompts that the teacher reads; None if they are the student's.
        targets: of the B * T response tokens, row by row, if the source knows them already.
        collection: all responses that were sampled together, if the sequences are some of them.
        rows: the index `[B]` of each sequence in the collection.
    """

    sequences: SequenceBatch
    teacher_prompts: PromptBatch | None = None
    targets: Targets | None = None
    collection: Rollout | None = None
    rows: Tensor | None = None

    @property
    def teacher_sequences(self) -> SequenceBatch:
        """The teacher's prompts with the same responses."""
        return self.sequences.with_prompts(self.teacher_prompts)

    @property
    def lengths(self) -> Tensor:
        """Response tokens `[B]`."""
        return self.sequences.response_mask.sum(-1)

    def select(self, rows: Tensor) -> "TrainingBatch":
        """Some rows, cut to their longest prompt and response."""
        sequences = self.sequences.select(rows)
        width, length = (x.response_ids.shape[1] for x in (self.sequences, sequences))
        columns = torch.arange(length, device=rows.device)
        tokens = (rows[:, None] * width + columns).flatten()
        return TrainingBatch(
            sequences,
            self.teacher_prompts and self.teacher_prompts.select(rows),
            self.targets and self.targets.select(tokens),
            self.collection,
            None if self.rows is None else self.rows[rows],
        )

    def to(self, device: torch.device) -> "TrainingBatch":
        """A batch without targets and collection on a device."""
        prompts = self.teacher_prompts and self.teacher_prompts.to(device)
        return replace(self, sequences=self.sequences.to(device), teacher_prompts=prompts)


@dataclass(frozen=True)
class SourceStep:
    """What a source brings for one optimiser step of one process.

    Attributes:
        batch: the sequences of the step.
        metrics: of the sampling, if the step needed any.
        collection: all responses that were sampled for this step and the next ones.
    """

    batch: TrainingBatch
    metrics: Metrics = field(default_factory=dict)
    collection: Rollout | None = None


class Source(Protocol):
    """Sequences without end, and the state from which they go on after a stop."""

    # Sequences of one pass over the training data.
    epoch_size: int
    # Whether all processes have the same state: another number of processes can go on from it.
    state_is_shared: bool

    def __iter__(self) -> Iterator[SourceStep]:
        """Steps without end, drawn from the student as it is when the next step is asked for."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The position, and the states of all random generators; callable between two steps."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, before the first step."""
        ...
