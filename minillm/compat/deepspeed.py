"""DeepSpeed: avoids the compilation of an extension, and saves checkpoints without deadlocks.

DeepSpeed is imported only where it is used, because its import takes seconds.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from accelerate import Accelerator
from accelerate.utils import DistributedType


def use_gloo_for_all_reduce() -> None:
    """Call this function before DeepSpeed starts on a CPU.

    Otherwise DeepSpeed compiles its own all-reduce for shared memory. The compilation takes
    minutes, and the result is the same as gloo's all-reduce. No setting of DeepSpeed prevents it.
    """
    import deepspeed.ops

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


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
