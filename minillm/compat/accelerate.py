"""Accelerate: FSDP2 on CPUs."""

from accelerate import PartialState
from accelerate.utils import DistributedType


def allow_fsdp_on_cpu() -> None:
    """Call this function before an `Accelerator` is made for FSDP2 on CPUs.

    torch supports FSDP2 on CPUs, but Accelerate uses DDP there: Accelerate sets up FSDP2 only if
    its state says that the processes run on GPUs. No public function changes this state.
    """
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
