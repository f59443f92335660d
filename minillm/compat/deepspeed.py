"""DeepSpeed: an extension that need not be compiled, and checkpoints that one process cannot write.

DeepSpeed is imported only where it is used, because its import takes seconds.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from accelerate import Accelerator
from accelerate.utils import DistributedType


def use_gloo_for_all_reduce() -> None:
    """Call this before DeepSpeed starts on a CPU.

    DeepSpeed compiles its own all-reduce for shared memory there, which takes minutes and does the
    same as gloo's. It has no setting against that.
    """
    import deepspeed.ops

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


@contextmanager
def postponed_writes(accelerator: Accelerator) -> Iterator[None]:
    """Files that DeepSpeed saves inside are written at the end, after its processes have met.

    DeepSpeed's processes wait for each other after they have written. If one of them cannot write,
    the others wait forever. Does nothing for other backends.
    """
    if accelerator.distributed_type != DistributedType.DEEPSPEED:
        yield
        return
    engine = accelerator.deepspeed_engine_wrapped.engine
    write, states = engine.checkpoint_engine.save, {}
    engine.checkpoint_engine.save = lambda state_dict, path: states.update({path: state_dict})
    # The script would join the parts of the weights: `best` and `last` hold whole weights already.
    engine._copy_recovery_script = lambda folder: None
    yield
    engine.checkpoint_engine.save = write
    for path, state in states.items():
        write(state, path)
