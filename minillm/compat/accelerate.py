"""Accelerate: FSDP2 on CPUs, and several runs in one process."""

from accelerate import PartialState
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import DistributedType


def allow_fsdp_on_cpu() -> None:
    """Call this function before an `Accelerator` is made for FSDP2 on CPUs.

    torch supports FSDP2 on CPUs, but Accelerate uses DDP there: Accelerate sets up FSDP2 only if
    its state says that the processes run on GPUs. No public function changes this state.
    """
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


def forget_run() -> None:
    """Call this function between two runs of one process, so that each has a state of its own.

    Accelerate keeps precision and processes of the first `Accelerator` for the whole process. Only
    its tests reset them.
    """
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
