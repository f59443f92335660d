"""The exponential moving average of the student's own weights as the teacher.

After each update the average is (1 - tau) * average + tau * student. The average starts as the
student's start (self-distillation: a mean teacher, Tarvainen and Valpola, arXiv 1703.01780).
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from minillm.models.language_model import LanguageModel
from minillm.teachers.local import LocalTeacher


@dataclass(frozen=True)
class AveragedTeacher(LocalTeacher):
    """Scores with the average of the student.

    Every process holds the whole average, in float32 or better. Where the student's weights are
    sharded, each update gathers them once.

    Attributes:
        rate: tau, the student's share in an update.
        update_every: optimiser steps per update.
    """

    rate: float = 0.01
    update_every: int = 1

    @property
    def sampler(self) -> None:
        """None: the average changes between the sampling and the loss of a response."""
        return None

    @staticmethod
    def of(student: LanguageModel, **settings: Any) -> "AveragedTeacher":
        """The teacher at the start of a training, before the student is wrapped or sharded."""
        module = copy.deepcopy(student.module).requires_grad_(False).eval()
        if module.dtype.itemsize < 4:
            module.float()  # half precision rounds an update by a small rate to no update
        model = LanguageModel(module, student.tokenizer, student.vocab_size, student.eos_ids)
        return AveragedTeacher(model, **settings)

    def replace_models(self, change: Callable[[LanguageModel], LanguageModel]) -> "AveragedTeacher":
        """The average stays whole on every process: every process updates it."""
        return self

    @torch.no_grad()
    def after_step(self, student: LanguageModel, step: int) -> None:
        if step % self.update_every:
            return
        with student.whole() as current:
            pairs = zip(self.model.module.parameters(), current.module.parameters(), strict=True)
            for average, weight in pairs:
                average.lerp_(weight.to(average.dtype), self.rate)

    def state_dict(self) -> dict[str, Any]:
        # Copies: an asynchronous writer must not see later updates.
        return {name: x.detach().clone() for name, x in self.model.module.named_parameters()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, average in self.model.module.named_parameters():
            average.copy_(state[name])
