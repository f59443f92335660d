"""Whole weights from the checkpoints of every backend, without a process group."""

from pathlib import Path

import torch
from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint
from torch import Tensor
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save


def saved_weights(checkpoint: Path) -> dict[str, Tensor]:
    """The weights by name of what was trained: the student, and the modules beside it."""
    if (checkpoint / "pytorch_model.bin").exists():  # DDP, or one process
        return torch.load(checkpoint / "pytorch_model.bin")
    parts = checkpoint / "pytorch_model_fsdp_0"
    if parts.exists():
        dcp_to_torch_save(parts, checkpoint / "whole.pt")
        return torch.load(checkpoint / "whole.pt")["model"]
    return get_fp32_state_dict_from_zero_checkpoint(checkpoint, "pytorch_model")


def teacher_state(checkpoint: Path) -> dict[str, Tensor]:
    """The state of the teacher by the names of its weights."""
    return torch.load(checkpoint / "shared.pt")["teacher"]
