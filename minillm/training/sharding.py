"""Sharded weights: each process holds a part, and the parts are gathered for forward passes.

FSDP2 and DeepSpeed's ZeRO-3 gather a model layer by layer in each forward pass, and all processes
must run the pass together. Sampling cannot work in this way: processes run different numbers of
passes, and all weights would be gathered again for each token. So the student is gathered once per
collection, validation or checkpoint, into a second module that is empty at other times
(`LanguageModel.whole`). With `runtime.shard_teacher`, the teacher is sharded in a similar way.

Before that, the main process has the weights in host memory (`models/broadcast.py`). They are sent
one after the other, so that a device never holds a complete model.
"""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from minillm.compat.deepspeed import partition
from minillm.models.broadcast import fill
from minillm.models.language_model import LanguageModel
from minillm.models.parts import with_weights


def prepare(
    accelerator: Accelerator, module: nn.Module, optimizer: torch.optim.Optimizer, max_norm: float
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Wrap module and optimiser for training. DeepSpeed clips gradients to the norm `max_norm`."""
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        # DeepSpeed clips gradients inside of its step, so it needs the maximum norm.
        accelerator.state.deepspeed_plugin.deepspeed_config["gradient_clipping"] = max_norm
    if accelerator.distributed_type == DistributedType.FSDP:
        return _prepare_fsdp2(accelerator, module, optimizer)
    if shards_weights(accelerator):
        partition(module, accelerator)
    return accelerator.prepare(module, optimizer)


def _prepare_fsdp2(
    accelerator: Accelerator, module: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Divide the weights of the main process among all processes, and fill the parts of each."""
    # FSDP2 warns that backward fails if such an output is changed in place. No code here does.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    dtype = _rounding(accelerator)
    if dtype:
        # By default, FSDP2 would also round the outputs, which are log-probabilities here.
        policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
        accelerator.state.fsdp_plugin.mixed_precision_policy = policy
    # FSDP2 keeps a part of the weights of its own process, but only the main process has read them.
    weights = [weight.detach() for weight in module.parameters()]
    prepared = accelerator.prepare(module, optimizer)
    for part, weight in zip(module.parameters(), weights, strict=True):
        weight = weight.to(accelerator.device)
        sent = distribute_tensor(weight, part.device_mesh, part.placements)
        part.detach().to_local().copy_(sent.to_local())
    return prepared


def _rounding(accelerator: Accelerator) -> torch.dtype | None:
    """The dtype to which FSDP2 rounds the weights of each layer for its passes, if any."""
    if accelerator.distributed_type != DistributedType.FSDP:
        return None
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(accelerator.mixed_precision)


@contextmanager
def accumulating(accelerator: Accelerator, module: nn.Module, is_last: bool) -> Iterator[None]:
    """The context of the backward pass of one micro-batch; `is_last` means the last of a step.

    DDP and ZeRO-1 sum the gradients of all processes once, in the last micro-batch. The backends
    with sharded gradients do it in each micro-batch. FSDP2 could wait for the last one too, but
    would hold complete gradients until then.
    """
    accelerator.sync_gradients = is_last  # DeepSpeed updates in the last backward pass
    sums_now = is_last or accelerator.distributed_type == DistributedType.FSDP
    with nullcontext() if sums_now else accelerator.no_sync(module):
        yield


def clear_gradients(accelerator: Accelerator, optimizer: torch.optim.Optimizer) -> None:
    """Clear the gradients after a step.

    DDP's gradients lie in its buckets, which keep their memory, so they become 0. Gradients that
    were dropped would be allocated again beside the buckets in the next micro-batch.
    """
    is_ddp = accelerator.distributed_type in (DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)
    optimizer.zero_grad(set_to_none=not is_ddp)


def shards_weights(accelerator: Accelerator) -> bool:
    """Whether each process holds only a part of the student's weights in training."""
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        return accelerator.state.deepspeed_plugin.zero_stage == 3
    return accelerator.distributed_type == DistributedType.FSDP


def gather_student(student: LanguageModel, accelerator: Accelerator) -> LanguageModel:
    """The student with a function `gather`, if training will shard its weights.

    Call this function before `prepare`, because `prepare` shards `student.module` itself.
    """
    if not shards_weights(accelerator):
        return student
    module = student.module
    reader = with_weights(module, lambda weight: weight.new_empty(0))  # structure and buffers
    reader = reader.requires_grad_(False).eval().to(accelerator.device)

    @contextmanager
    def gather(dtype: torch.dtype | None) -> Iterator[nn.Module]:
        for weight, sharded in zip(reader.parameters(), module.parameters(), strict=True):
            weight.data = _whole(sharded, dtype).to(accelerator.device, dtype)
        try:
            yield reader
        finally:
            _empty(reader.parameters())

    dtype = _rounding(accelerator)
    return replace(student, gather=gather, rounding=dtype,
                   autocast=None if dtype else student.autocast)  # fmt: skip


def shard_teacher(teacher: LanguageModel, accelerator: Accelerator) -> LanguageModel:
    """The teacher with weights that are divided among the processes and gathered for passes.

    Each process keeps the complete output head, because the loss of every mini-batch reads it. With
    one process, the teacher is only moved to the device.
    """
    device = accelerator.device
    if accelerator.num_processes == 1:
        return teacher.to(device)
    mesh = init_device_mesh(device.type, (accelerator.num_processes,))
    module = teacher.module
    head = module.get_output_embeddings()
    kept = {id(weight) for weight in head.parameters()}
    weights = [weight for weight in module.parameters() if id(weight) not in kept]
    parts = []
    for weight in weights:
        parts.append(distribute_tensor(weight.data.to(device), mesh, [Shard(0)]))
        _empty([weight])
    teacher = teacher.to(device)
    fill(head.parameters())

    @contextmanager
    def gather(dtype: torch.dtype | None) -> Iterator[nn.Module]:
        for weight, part in zip(weights, parts, strict=True):
            weight.data = part.full_tensor()
        try:
            yield module
        finally:
            _empty(weights)

    return replace(teacher, gather=gather)


def held_part(parameter: Tensor) -> Tensor:
    """The part of a parameter that this process holds: all of it, unless training shards it."""
    if isinstance(parameter, DTensor):
        return parameter.to_local()
    return getattr(parameter, "ds_tensor", parameter)  # ZeRO-3 keeps the part in `ds_tensor`


def _whole(parameter: Tensor, dtype: torch.dtype | None) -> Tensor:
    """The complete parameter, which FSDP2 (a `DTensor`) or ZeRO-3 (`ds_id`) may have sharded.

    FSDP2's parts are rounded to `dtype` before they are sent, so that half as many bytes are sent.
    """
    if isinstance(parameter, DTensor):
        return parameter.detach().to(dtype or parameter.dtype).full_tensor()
    if hasattr(parameter, "ds_id"):
        import deepspeed

        with deepspeed.zero.GatheredParameters([parameter]):
            return parameter.detach().clone()
    return parameter.detach()


def _empty(weights: Iterable[Tensor]) -> None:
    for weight in weights:
        weight.data = weight.data.new_empty(0)
