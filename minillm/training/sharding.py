"""Weights of which every process holds a part, and how they are made whole while they are read.

FSDP2 and DeepSpeed's ZeRO-3 gather a model layer by layer in each pass, which all processes make
together. Sampling is no such pass: processes differ in how many they make, and a pass for every
token would gather everything for every token. So the student is gathered once for a whole
collection, validation or checkpoint, into a second module that is empty at other times
(`LanguageModel.whole`). A teacher is sharded in the same way where `runtime.shard_teacher` asks.
"""

import copy
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from minillm.models.language_model import LanguageModel


def prepare(
    accelerator: Accelerator, module: nn.Module, optimizer: torch.optim.Optimizer, max_norm: float
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Module and optimiser as the processes train them; gradients are clipped to `max_norm`."""
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        # DeepSpeed clips inside of its step, so it must know.
        accelerator.state.deepspeed_plugin.deepspeed_config["gradient_clipping"] = max_norm
    if accelerator.distributed_type == DistributedType.FSDP:
        # It warns of changing such an output in place, which breaks backward; nothing here does.
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
        if accelerator.mixed_precision != "no":
            dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[accelerator.mixed_precision]
            # By default the outputs would be rounded too: those are log-probabilities here.
            policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
            accelerator.state.fsdp_plugin.mixed_precision_policy = policy
    return accelerator.prepare(module, optimizer)


def shards_weights(accelerator: Accelerator) -> bool:
    """Whether training leaves each process a part of the student's weights only."""
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        return accelerator.state.deepspeed_plugin.zero_stage == 3
    return accelerator.distributed_type == DistributedType.FSDP


def gather_student(student: LanguageModel, accelerator: Accelerator) -> LanguageModel:
    """The student with a `gather` of its own, where training will shard its weights.

    To be called before `prepare`, which shards `student.module` itself.
    """
    if not shards_weights(accelerator):
        return student
    module = student.module
    empty = {id(x): nn.Parameter(x.new_empty(0), requires_grad=False) for x in module.parameters()}
    reader = copy.deepcopy(module, empty).eval()  # structure and buffers, without the weights

    @contextmanager
    def gather() -> Iterator[nn.Module]:
        for weight, sharded in zip(reader.parameters(), module.parameters(), strict=True):
            weight.data = _whole(sharded).to(accelerator.device)
        try:
            yield reader
        finally:
            _empty(reader.parameters())

    return replace(student, gather=gather)


def shard_teacher(teacher: LanguageModel, accelerator: Accelerator) -> LanguageModel:
    """The teacher with its weights spread over the processes, whole only while it is read.

    The output head stays whole: the loss of every mini-batch reads it.
    """
    if accelerator.num_processes == 1:
        return teacher
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    module = teacher.module
    kept = {id(weight) for weight in module.get_output_embeddings().parameters()}
    weights = [weight for weight in module.parameters() if id(weight) not in kept]
    parts = []
    for weight in weights:
        parts.append(distribute_tensor(weight.data, mesh, [Shard(0)]))
        _empty([weight])

    @contextmanager
    def gather() -> Iterator[nn.Module]:
        for weight, part in zip(weights, parts, strict=True):
            weight.data = part.full_tensor()
        try:
            yield module
        finally:
            _empty(weights)

    return replace(teacher, gather=gather)


def _whole(parameter: Tensor) -> Tensor:
    """All of a parameter that FSDP2 (a `DTensor`) or ZeRO-3 (`ds_id`) may have cut up."""
    if isinstance(parameter, DTensor):
        return parameter.detach().full_tensor()
    if hasattr(parameter, "ds_id"):
        import deepspeed

        with deepspeed.zero.GatheredParameters([parameter]):
            return parameter.detach().clone()
    return parameter.detach()


def _empty(weights: Iterable[Tensor]) -> None:
    for weight in weights:
        weight.data = weight.data.new_empty(0)
