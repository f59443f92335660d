"""DeepSpeed: avoids the compilation of an extension, and saves checkpoints without deadlocks.

DeepSpeed is imported only where it is used, because its import takes seconds.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import nn


def use_gloo_for_all_reduce() -> None:
    """Call this function before DeepSpeed starts on a CPU.

    Otherwise DeepSpeed compiles its own all-reduce for shared memory. The compilation takes
    minutes, and the result is the same as gloo's all-reduce. No setting of DeepSpeed prevents it.
    """
    import deepspeed.ops

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def partition(module: nn.Module, accelerator: Accelerator) -> None:
    """Divide the weights of the main process among all processes, as ZeRO-3 stores them.

    DeepSpeed would do this too, but only after it has moved the complete module to the device of
    each process and has rounded it there.
    """
    import deepspeed

    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(accelerator.mixed_precision)
    for weight in module.parameters():
        if half and accelerator.is_main_process:
            weight.data = weight.data.to(half)
        elif half:
            weight.data = torch.empty_like(weight.data, dtype=half)
    for buffer in module.buffers():
        buffer.data = buffer.data.to(accelerator.device)
    zero = accelerator.state.deepspeed_plugin.deepspeed_config["zero_optimization"]
    settings = {
        "train_micro_batch_size_per_gpu": 1,  # is required, and without effect here
        "zero_optimization": {name: x for name, x in zero.items() if x != "auto"},
        "bf16": {"enabled": half == torch.bfloat16},
        "fp16": {"enabled": half == torch.float16},
    }
    deepspeed.zero.Init(module=module, config_dict_or_path=settings)


@contextmanager
def postponed_writes(accelerator: Accelerator) -> Iterator[None]:
    """Postpone the writing of DeepSpeed's files to the end, after its processes have synchronised.

    DeepSpeed's processes wait for each other after they have written. If one of them cannot write,
    the others wait forever. This context does nothing for other backends.
    """
    if accelerator.distributed_type != DistributedType.DEEPSPEED:
        yield
        return
    engine = accelerator.deepspeed_engine_wrapped.engine
    write, states = engine.checkpoint_engine.save, {}
    engine.checkpoint_engine.save = lambda state_dict, path: states.update({path: state_dict})
    # The script joins parts of the weights. It is not needed: `best` and `last` hold whole weights.
    engine._copy_recovery_script = lambda folder: None
    yield
    engine.checkpoint_engine.save = write
    for path, state in states.items():
        write(state, path)
