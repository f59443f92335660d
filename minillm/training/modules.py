"""Modules that are trained beside the student, such as projections of hidden states.

Training engines (DDP, FSDP2, DeepSpeed) see one module that owns both, so the extra parameters are
averaged, sharded and saved like the student's. The student itself stays untouched: the exported
model has no extra weights.
"""

from typing import Any

from torch import nn
from transformers import PreTrainedModel


class StudentWithModules(nn.Module):
    """Owns the student and the extra modules; a forward pass is the student's.

    The losses call the extra modules inside this forward pass (`models.forward.response_loss`).
    There FSDP2 and ZeRO-3 have gathered their parameters.
    """

    def __init__(self, student: PreTrainedModel, modules: nn.ModuleDict) -> None:
        super().__init__()
        self.student = student
        self.extra_modules = modules

    def forward(self, **inputs: Any) -> Any:
        return self.student(**inputs)

    def __getattr__(self, name: str) -> Any:
        """Everything else that engines ask a transformers model for, such as its layer classes."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("student"), name)


def with_modules(student: PreTrainedModel, modules: nn.ModuleDict) -> nn.Module:
    """The student alone, or a module that owns the student and the extra modules."""
    return StudentWithModules(student, modules) if len(modules) else student
