"""Places the teacher on another device, or in host memory except during its forward passes.

Every inner epoch needs the teacher's output head, so that a copy of the head is on the student's
device. Only hidden states are moved between the devices.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from minillm.models.broadcast import replicated
from minillm.models.heads import output_head
from minillm.models.language_model import LanguageModel

HOST = torch.device("cpu")


def place(
    teacher: LanguageModel, student_device: torch.device, device: str | None, offload: bool
) -> LanguageModel:
    """The teacher on its device, with a copy of its head on the student's device if needed.

    Args:
        teacher: frozen, in host memory; see `models.broadcast.make_on_main`.
        student_device: device of the student.
        device: device of the teacher's forward passes; None for `student_device`.
        offload: whether the teacher is in host memory, and on its device only inside `whole`.
    """
    device = torch.device(device) if device else student_device
    if device == student_device and not offload:
        return replicated(teacher, device)
    teacher = replicated(teacher, HOST if offload else device)
    head = output_head(teacher)
    # Moving a module replaces the data of its parameters; detached tensors keep their data.
    bias = None if head.bias is None else head.bias.detach().to(student_device)
    head = replace(head, weight=head.weight.detach().to(student_device), bias=bias)
    if not offload:
        return replace(teacher, head=head)

    @contextmanager
    def on_device(dtype: torch.dtype | None) -> Iterator[nn.Module]:
        teacher.module.to(device)
        try:
            yield teacher.module
        finally:
            teacher.module.to(HOST)

    return replace(teacher, head=head, gather=on_device)
