"""Where the teacher is: a device of its own, or host memory while nobody needs it.

Its output head stays where the student is, as every inner epoch needs it; so hidden states are all
that passes from one device to the other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from minillm.models.heads import output_head
from minillm.models.language_model import LanguageModel

HOST = torch.device("cpu")


def place(
    teacher: LanguageModel, student_device: torch.device, device: str | None, offload: bool
) -> LanguageModel:
    """The teacher at rest, with a copy of its head beside the student where it needs one.

    Args:
        teacher: frozen, in host memory.
        student_device: where the student is.
        device: where the teacher computes; None: where the student does.
        offload: whether it rests in host memory, and is on its device inside `whole` alone.
    """
    device = torch.device(device) if device else student_device
    if device == student_device and not offload:
        return teacher.to(device)
    head = output_head(teacher)
    # Detached: what a parameter holds is exchanged when its module moves.
    bias = None if head.bias is None else head.bias.detach().to(student_device)
    head = replace(head, weight=head.weight.detach().to(student_device), bias=bias)
    if not offload:
        return replace(teacher.to(device), head=head)

    @contextmanager
    def on_device() -> Iterator[nn.Module]:
        teacher.module.to(device)
        try:
            yield teacher.module
        finally:
            teacher.module.to(HOST)

    return replace(teacher, head=head, gather=on_device)
