"""Reads complete weights from the checkpoints of all backends, without a process group."""

from pathlib import Path

import torch
from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint
from torch import Tensor
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save


def saved_weights(checkpoint: Path) -> dict[str, Tensor]:
    """All trained weights by name: those of the student and of the modules beside the student."""
    if (checkpoint / "pytorch_model.bin").exists():  # DDP, or one process
        return torch.load(checkpoint / "pytorch_model.bin")
    parts = checkpoint / "pytorch_model_fsdp_0"
    if parts.exists():
        dcp_to_torch_save(parts, checkpoint / "whole.pt")
        return torch.load(checkpoint / "whole.pt")["model"]
    return get_fp32_state_dict_from_zero_checkpoint(checkpoint, "pytorch_model")


def teacher_state(checkpoint: Path) -> dict[str, Tensor]:
    """The weights of an averaged teacher by name."""
    return torch.load(checkpoint / "shared.pt")["teacher"]
