"""Bytes that a process holds for a student in training, and for a sharded teacher."""

import gc
from dataclasses import replace
from functools import partial

import torch
from accelerate.utils import DistributedType
from torch import nn
from torch.distributed.tensor import DTensor

from benchmarks.measure import peak_memory, process_status
from minillm.config import Config
from minillm.models.broadcast import make_on_main, replicated
from minillm.models.language_model import LanguageModel
from minillm.models.size import bytes_of
from minillm.runtime import start_accelerator
from minillm.teachers import EnsembleTeacher, LocalTeacher
from minillm.training.optimization import build_optimizer
from minillm.training.sharding import accumulating, clear_gradients, prepare, shard_teacher
from tests.tiny import tiny_model

CPU = torch.device("cpu")
WIDTH = 512  # of square layers; large, so that padding of the parts does not matter


def bytes_held(config: Config) -> dict[str, float]:
    """Bytes per parameter for weights, optimiser and gradients, and for all of them together.

    The gradients are those between two micro-batches of the second step.
    """
    accelerator = start_accelerator(config)
    is_deepspeed = accelerator.distributed_type == DistributedType.DEEPSPEED
    if is_deepspeed:  # otherwise, its buffers are larger than this model
        zero = accelerator.state.deepspeed_plugin.deepspeed_config["zero_optimization"]
        zero["reduce_bucket_size"] = 1
    before = storages()  # this reference keeps their addresses from being used again
    torch.manual_seed(0)
    module = nn.Sequential(*[nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4)])
    module._no_split_modules = ["Linear"]
    module.config = type("Shape", (), {"hidden_size": WIDTH})()
    count = sum(weight.numel() for weight in module.parameters())
    trained, optimizer = prepare(
        accelerator, module, build_optimizer(module, config.training, CPU), max_norm=1.0
    )
    weights = list(module.parameters())
    inputs = torch.ones(1, WIDTH, dtype=weights[0].dtype)
    for is_last in (False, True, False):
        with accumulating(accelerator, trained, is_last):
            accelerator.backward(trained(inputs).float().square().mean())
        if is_last:
            optimizer.step()
            clear_gradients(accelerator, optimizer)
    if accelerator.distributed_type == DistributedType.MULTI_CPU:
        # Python cannot see DDP's buckets, so the gradients must lie in them.
        assert len({x.grad.untyped_storage().data_ptr() for x in weights}) < len(weights)
    new = storages()
    held = {"all": sum(new[x].nbytes() for x in new.keys() - before.keys())}
    if is_deepspeed:
        engine = optimizer.optimizer
        copies = getattr(engine, "fp32_partitioned_groups_flat", None)  # for ZeRO-3
        copies = copies or engine.single_partition_of_fp32_groups
        held["weights"] = size_of([getattr(weight, "ds_tensor", weight) for weight in weights])
        held["optimizer"] = size_of([*copies, *states(engine.optimizer)])
    else:
        held["weights"] = size_of(weights)
        held["optimizer"] = size_of(states(optimizer))
    held["gradients"] = held["all"] - held["weights"] - held["optimizer"]
    return {name: size / count for name, size in held.items()}


def storages() -> dict[int, torch.UntypedStorage]:
    """The memory of all tensors of this process, by address."""
    gc.collect()
    tensors = [x for x in gc.get_objects() if issubclass(type(x), torch.Tensor)]
    tensors += [x.grad for x in tensors if x.is_leaf and x.grad is not None]
    found = [local(x).untyped_storage() for x in tensors if x.device.type != "meta"]
    return {storage.data_ptr(): storage for storage in found}


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


def resident_of_a_model(config: Config) -> dict[str, float]:
    """Growth of the resident memory of this process, relative to the bytes of the weights.

    It is the peak while one process makes a large model, and what remains after the weights were
    sent. gloo may still hold copies of some weights, so there are many of them.
    """
    start_accelerator(config)
    outline = tiny_model(1)
    found = []

    def make() -> LanguageModel:
        layers = [nn.Linear(1024, 1024, bias=False) for _ in range(64)]
        return replace(outline, module=nn.Sequential(*layers))

    def load() -> None:
        found.append(make_on_main(make))

    made = peak_memory(load, CPU) * 2**20
    before = process_status("VmRSS")
    replicated(found[0], CPU)
    sent = (process_status("VmRSS") - before) * 2**10
    size = bytes_of(found[0].module)
    return {"made": made / size, "sent": sent / size}


def states(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """The moments of Adam."""
    return [x for state in optimizer.state.values() for x in state.values()
            if torch.is_tensor(x) and x.dim()]  # fmt: skip


def size_of(tensors: list[torch.Tensor]) -> int:
    return sum(local(x).numel() * x.element_size() for x in tensors)


def local(tensor: torch.Tensor) -> torch.Tensor:
    """The part of a tensor that this process holds."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
