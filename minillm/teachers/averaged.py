"""A teacher whose weights are the exponential moving average of the student's weights.

Each update sets the average to (1 - tau) * average + tau * student. The first average is the
student at the start of training. This is self-distillation with a mean teacher (Tarvainen and
Valpola, arXiv 1703.01780).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from minillm.models.broadcast import replicated
from minillm.models.language_model import LanguageModel
from minillm.models.parts import with_weights
from minillm.teachers.local import LocalTeacher


@dataclass(frozen=True)
class AveragedTeacher(LocalTeacher):
    """Scores tokens with the average of the student's weights.

    Every process holds the complete average, in float32 or float64. If the student's weights are
    sharded, each update gathers them once.

    Attributes:
        trained: names of the weights that training changes. Only these are averaged, and saved in
            checkpoints; with an adapter, they are few.
        rate: tau, the weight of the student in an update.
        update_every: optimiser steps per update.
    """

    trained: frozenset[str] = frozenset()
    rate: float = 0.01
    update_every: int = 1

    @property
    def sampler(self) -> None:
        """None, because the average changes between the sampling of a response and its loss."""
        return None

    @staticmethod
    def of(student: LanguageModel, device: torch.device, **settings: Any) -> "AveragedTeacher":
        """Build the teacher on `device` from a student that is not yet wrapped or sharded."""
        trained = frozenset(n for n, x in student.module.named_parameters() if x.requires_grad)
        module = with_weights(student.module, lambda weight: weight.to(device, copy=True))
        module.requires_grad_(False).eval()
        if module.dtype.itemsize < 4:
            module.float()  # half precision would round small updates to 0
        model = replicated(replace(student, module=module), device)
        return AveragedTeacher(model, trained=trained, **settings)

    def replace_models(self, change: Callable[[LanguageModel], LanguageModel]) -> "AveragedTeacher":
        """The teacher without change, because every process updates the complete average."""
        return self

    @torch.no_grad()
    def after_step(self, student: LanguageModel, step: int) -> None:
        if step % self.update_every:
            return
        with student.whole() as current:
            weights = dict(current.module.named_parameters())
            for name, average in self._averages():
                average.lerp_(weights[name].to(average.dtype), self.rate)

    def _averages(self) -> Iterator[tuple[str, nn.Parameter]]:
        return (pair for pair in self.model.module.named_parameters() if pair[0] in self.trained)

    def state_dict(self) -> dict[str, Any]:
        # Copies, because an asynchronous writer must not see later updates.
        return {name: average.detach().clone() for name, average in self._averages()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, average in self._averages():
            average.copy_(state[name])
