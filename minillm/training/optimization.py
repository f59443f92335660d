"""Optimiser and learning-rate schedule."""

import math

import torch
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from minillm.config import TrainingConfig


def build_optimizer(module: nn.Module, training: TrainingConfig, device: torch.device) -> AdamW:
    """AdamW. Biases, norms and other vectors have no weight decay.

    On a CPU, the fused kernel updates a parameter in one pass over memory. It takes an eighth of
    the time of torch's default kernel, and allocates no temporary tensors of the parameter's size.

    Args:
        module: the student and the modules beside it. A backend that shards them finds them in host
            memory, and moves them to `device` later.
        training: the settings.
        device: where the updates are computed.
    """
    decayed, plain = [], []
    for parameter in module.parameters():
        if parameter.requires_grad:
            (decayed if parameter.dim() >= 2 else plain).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": training.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    # On GPUs, torch chooses the kernel.
    fused = device.type == "cpu" or None
    return AdamW(groups, lr=training.lr, betas=tuple(training.betas), fused=fused)


def build_schedule(
    optimizer: torch.optim.Optimizer, training: TrainingConfig, steps: int
) -> LambdaLR:
    """Linear warm-up, then a constant rate, or a linear or cosine decay to 0."""

    def factor(step: int) -> float:
        if step < training.warmup_steps:
            return (step + 1) / training.warmup_steps
        if training.schedule == "constant":
            return 1.0
        done = (step - training.warmup_steps) / max(steps - training.warmup_steps, 1)
        linear = max(0.0, 1.0 - done)
        return linear if training.schedule == "linear" else 0.5 * (1 - math.cos(math.pi * linear))

    return LambdaLR(optimizer, factor)
