"""A teacher that is not where the student is: on a device of its own, or at rest in host memory.

Its output head stays where the student is, as every inner epoch needs it; so hidden states are all
that passes from one device to the other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from minillm.models.heads import output_head
from minillm.models.language_model import LanguageModel


def place(
    teacher: LanguageModel, student_device: torch.device, device: str | None, offload: bool
) -> LanguageModel:
    """The teacher where it shall be, with a copy of its head beside the student if not there.

    Args:
        teacher: frozen, in host memory.
        student_device: where the student is.
        device: where the teacher computes; None: where the student does.
        offload: whether it rests in host memory, and is on its device inside of `whole` alone.
    """
    device = torch.device(device) if device else student_device
    if device == student_device and not offload:
        return teacher.to(device)
    head = output_head(teacher)
    # Detached: what a parameter holds is exchanged when its module moves.
    bias = None if head.bias is None else head.bias.detach().to(student_device)
    head = replace(head, weight=head.weight.detach().to(student_device), bias=bias)
    if offload:
        return replace(teacher, head=head, gather=partial(_moved, teacher.module, device))
    return replace(teacher.to(device), head=head)


@contextmanager
def _moved(module: nn.Module, device: torch.device) -> Iterator[nn.Module]:
    """The module on the device inside, in host memory before and after."""
    try:
        module.to(device)
        yield module
    finally:
        module.to("cpu")
