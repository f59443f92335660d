"""Modules that are trained beside the student, such as projections of hidden states.

Training engines (DDP, FSDP2, DeepSpeed) get one module that owns the student and these modules. So
the engines average, shard and save the extra parameters in the same way as the student's. The
student itself is not changed, so the exported model has no extra weights.
"""

from typing import Any

from torch import nn
from transformers import PreTrainedModel


class StudentWithModules(nn.Module):
    """Owns the student and the extra modules. Its forward pass is the student's forward pass.

    The losses call the extra modules inside this forward pass (`models.forward.response_loss`),
    because FSDP2 and ZeRO-3 gather the parameters of the extra modules for this time.
    """

    def __init__(self, student: PreTrainedModel, modules: nn.ModuleDict) -> None:
        super().__init__()
        self.student = student
        self.extra_modules = modules

    def forward(self, **inputs: Any) -> Any:
        return self.student(**inputs)

    def __getattr__(self, name: str) -> Any:
        """Other attributes are the student's. Engines read some of them, such as layer classes."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("student"), name)


def with_modules(student: PreTrainedModel, modules: nn.ModuleDict) -> nn.Module:
    """The student, or a module that owns the student and the extra modules if there are any."""
    return StudentWithModules(student, modules) if len(modules) else student
