"""The class of all methods. A method has sources, a loss for each source, and a teacher.

Every distillation method is this class with other parts (see `build.py`). The loop gets the batches
of each step and the loss of each forward pass from the method, and then calls `after_step`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from minillm.methods.loss import Loss
from minillm.models.language_model import LanguageModel
from minillm.sources.source import Source, SourceStep
from minillm.teachers.teacher import Teacher
from minillm.training.method import MicroBatch, StepBatch
from minillm.training.metrics import Metrics


@dataclass(frozen=True)
class Part:
    """A source with its loss.

    Attributes:
        source: yields the sequences of each step.
        loss: sums the losses of the tokens. The loop divides the sum by the number of tokens of the
            whole step, over all micro-batches and processes.
        weight: factor of the part in the loss of a step.
    """

    source: Source
    loss: Loss
    weight: float = 1.0


class Method:
    """Named parts, and the teacher that their losses and sources share."""

    def __init__(
        self,
        parts: dict[str, Part],
        *,
        student: LanguageModel,
        teacher: Teacher | None,
        micro_batch_size: int | None,
        dropout: bool,
    ) -> None:
        self.parts = parts
        self.student = student
        self.teacher = teacher
        self.micro_batch_size = micro_batch_size
        self.dropout = dropout
        self.epoch_size = next(iter(parts.values())).source.epoch_size
        self.steps_per_collection = max(x.source.steps_per_collection for x in parts.values())
        self.state_is_shared = all(part.source.state_is_shared for part in parts.values())

    @property
    def shown(self) -> dict[str, str]:
        """Metrics that the progress bar shows: name of the metric -> short text."""
        return {k: v for part in self.parts.values() for k, v in part.loss.shown.items()}

    def batches(self) -> Iterator[StepBatch]:
        streams = {name: iter(part.source) for name, part in self.parts.items()}
        while True:
            parts = [self._draw(name, stream) for name, stream in streams.items()]
            micro_batches = [x for micro_batches, _ in parts for x in micro_batches]
            yield StepBatch(
                micro_batches, {k: v for _, metrics in parts for k, v in metrics.items()}
            )

    def _draw(self, name: str, stream: Iterator[SourceStep]) -> tuple[list[MicroBatch], Metrics]:
        """The next micro-batches of a part, and metrics. The undivided step is freed on return."""
        step, loss = next(stream), self.parts[name].loss
        metrics = dict(step.metrics)
        if step.collection:
            metrics |= loss.collection_metrics(step.collection)
        cut = loss.micro_batches(step.batch, self.micro_batch_size)
        return [MicroBatch(name, data, loss.tokens(data)) for data in cut], metrics

    def loss(
        self, module: nn.Module, micro_batch: MicroBatch, totals: dict[str, float]
    ) -> tuple[Tensor, Metrics]:
        part = self.parts[micro_batch.part]
        value, metrics = part.loss(module, micro_batch.data)
        return part.weight * value / totals[micro_batch.part], metrics

    def modules(self) -> nn.ModuleDict:
        """Modules that are trained, sharded and saved with the student, but are not exported."""
        of_losses = [part.loss.modules() for part in self.parts.values()]
        return nn.ModuleDict({name: x for modules in of_losses for name, x in modules.items()})

    def after_step(self, step: int) -> None:
        if self.teacher:
            self.teacher.after_step(self.student, step)

    def state_dict(self) -> dict[str, Any]:
        return {name: part.source.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self.parts.items():
            part.source.load_state_dict(state[name])

    def shared_state_dict(self) -> dict[str, Any]:
        return {"teacher": self.teacher.state_dict()} if self.teacher else {}

    def load_shared_state_dict(self, state: dict[str, Any]) -> None:
        if self.teacher:
            self.teacher.load_state_dict(state["teacher"])
