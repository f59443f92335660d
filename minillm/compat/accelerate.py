"""Accelerate: FSDP2 on CPUs."""

from accelerate import PartialState
from accelerate.utils import DistributedType


def allow_fsdp_on_cpu() -> None:
    """Call this before an `Accelerator` is made for FSDP2 on CPUs.

    torch has FSDP2 on CPUs, but Accelerate takes DDP there: it sets up FSDP2 only in a group of
    processes that it knows as one of GPUs. Public parts of Accelerate cannot change what it knows.
    """
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
