"""Bytes that a process holds for a student in training, as the sum over the tensors."""

from functools import partial

import torch
from accelerate.utils import DistributedType
from torch import nn
from torch.distributed.tensor import DTensor

from minillm.config import Config
from minillm.runtime import start_accelerator
from minillm.teachers import EnsembleTeacher, LocalTeacher
from minillm.training.optimization import build_optimizer
from minillm.training.sharding import prepare, shard_teacher
from tests.tiny import tiny_model

WIDTH = 512  # of square layers; large, so that padding of the parts does not matter


def bytes_held(config: Config) -> dict[str, float]:
    """Bytes per parameter after a step. With DeepSpeed, `gradients` are missing."""
    accelerator = start_accelerator(config)
    torch.manual_seed(0)
    module = nn.Sequential(*[nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4)])
    module._no_split_modules = ["Linear"]
    module.config = type("Shape", (), {"hidden_size": WIDTH})()
    count = sum(weight.numel() for weight in module.parameters())
    trained, optimizer = prepare(
        accelerator, module, build_optimizer(module, config.training), max_norm=1.0
    )
    accelerator.backward(trained(torch.ones(1, WIDTH)).square().mean())
    optimizer.step()
    weights = list(module.parameters())
    held = {"weights": weights}
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        held["weights"] = [getattr(weight, "ds_tensor", weight) for weight in weights]
        engine = optimizer.optimizer
        copies = getattr(engine, "fp32_partitioned_groups_flat", None)  # for ZeRO-3
        copies = copies or engine.single_partition_of_fp32_groups
        held["optimizer"] = [*copies, *states(engine.optimizer)]
    else:
        held["gradients"] = [weight.grad for weight in weights]
        held["optimizer"] = states(optimizer)
    return {name: sum(map(size, tensors)) / count for name, tensors in held.items()}


def weights_of_an_ensemble(config: Config) -> dict[str, list[int]]:
    """Numbers of weights on this process, per member of a sharded ensemble, at rest and in use."""
    members = tuple(LocalTeacher(tiny_model(seed, kind="llama")) for seed in (1, 2))
    teacher = EnsembleTeacher(members, (0.5, 0.5))
    heads = [member.model.module.get_output_embeddings().weight.numel() for member in members]
    all_weights = [model.parameters for model in teacher.models]
    sharded = partial(shard_teacher, accelerator=start_accelerator(config))
    teacher = teacher.replace_models(sharded)
    at_rest = [model.parameters for model in teacher.models]
    with teacher.whole() as whole:
        in_use = [model.parameters for model in whole.models]
    return {"heads": heads, "all": all_weights, "at rest": at_rest, "in use": in_use}


def states(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """The moments of Adam."""
    return [x for state in optimizer.state.values() for x in state.values()
            if torch.is_tensor(x) and x.dim()]  # fmt: skip


def size(tensor: torch.Tensor) -> int:
    local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return local.numel() * local.element_size()
