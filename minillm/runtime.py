"""Starts processes, device, precision and trackers as the `runtime` settings specify."""

import logging
import os
import warnings
from datetime import timedelta

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import (
    DistributedDataParallelKwargs,
    DistributedType,
    ProjectConfiguration,
)
from transformers.integrations import unset_hf_deepspeed_config
from transformers.utils import logging as transformers_logging

from minillm.adapter_paths import adapter_base
from minillm.compat import onednn
from minillm.compat.accelerate import allow_fsdp_on_cpu
from minillm.compat.deepspeed import use_gloo_for_all_reduce
from minillm.config import Config
from minillm.errors import InputError
from minillm.runs import LOGS

log = logging.getLogger(__name__)


def start_accelerator(config: Config, output: str | None = None) -> Accelerator:
    """Start processes, device and precision; start trackers if there is an output folder.

    Raises:
        InputError: the device is not available.
    """
    if config.runtime.device == "cuda" and not torch.cuda.is_available():
        raise InputError("runtime.device=cuda, but torch sees no GPU. Set runtime.device=auto.")
    if config.runtime.threads:
        torch.set_num_threads(config.runtime.threads)
    transformers_logging.disable_progress_bar()  # training has its own progress bar
    start_processes(config)
    accelerator = Accelerator(
        mixed_precision=config.runtime.mixed_precision,
        log_with=(config.runtime.trackers or None) if output else None,
        project_config=ProjectConfiguration(output, logging_dir=output and f"{output}/{LOGS}"),
        # Otherwise DDP would hold the gradients twice: outside and inside of its buckets.
        kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
    )
    if accelerator.device.type == "cpu" and config.runtime.onednn and onednn.is_faster():
        onednn.enable()
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        # Otherwise ZeRO-3 shards every model that transformers loads, including the teacher.
        unset_hf_deepspeed_config()
        # DeepSpeed calls deprecated functions of torch in every layer.
        warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")
    if not accelerator.is_main_process:
        # Only the main process logs messages.
        logging.getLogger("minillm").setLevel(logging.ERROR)
        warnings.simplefilter("ignore")
    if config.runtime.tf32:
        use_tf32(accelerator.device)
    return accelerator


def use_tf32(device: torch.device) -> None:
    """Compute float32 matrix products on a GPU in TF32. On other devices, a warning is logged.

    TF32 has the exponents of float32 and mantissas of 10 bits. Sums are in float32.
    """
    if device.type == "cuda" and torch.cuda.is_tf32_supported():
        torch.set_float32_matmul_precision("high")
    else:
        log.warning(
            "runtime.tf32=true has no effect on the device %s: only GPUs since NVIDIA's Ampere "
            "have TF32. Products of float32 matrices are computed in float32.", device
        )  # fmt: skip


def uses_cpu(config: Config) -> bool:
    """Whether the command computes on the CPU, by the settings or because there is no GPU."""
    device = config.runtime.device
    return device == "cpu" or (device == "auto" and not torch.cuda.is_available())


def autocast_dtype(config: Config) -> torch.dtype | None:
    """The dtype of autocast in forward passes; None for the dtype of the weights.

    A model that was trained in float16 on a GPU is evaluated in float32 on a CPU.
    """
    precision = config.runtime.mixed_precision
    if precision == "fp16" and uses_cpu(config):
        return None
    return {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def check_training_precision(config: Config) -> None:
    """Refuse settings with which a student would not be trained as they say.

    Raises:
        InputError: the message names the setting, its value and what to set instead.
    """
    if config.runtime.mixed_precision == "fp16" and uses_cpu(config):
        raise InputError(
            "runtime.mixed_precision=fp16 is not allowed on a CPU: training in float16 needs a "
            "GPU. Set runtime=bf16 (bfloat16) or runtime.mixed_precision=no (float32)."
        )
    if trains_adapter(config):
        _check_launcher_of_adapter()
        return
    if config.student.load_in_4bit:
        raise InputError(
            "student.load_in_4bit=true is allowed in training only with an adapter, because 4-bit "
            "weights cannot be trained. Add student.lora.rank=16, or set "
            "student.load_in_4bit=false."
        )
    if config.student.lora.saves == "adapter":
        raise InputError(
            "student.lora.saves=adapter is not allowed without an adapter. Add "
            "student.lora.rank=16, give an adapter as student.path, or leave student.lora.saves "
            "out."
        )
    # In half precision, DeepSpeed's optimisers update their own float32 copy of the weights.
    keeps_copy = uses_deepspeed() and config.runtime.mixed_precision != "no"
    if config.student.dtype != "float32" and not keeps_copy:
        raise InputError(
            f"student.dtype={config.student.dtype} is not allowed in training: weights in half "
            f"precision lose most updates of a small training.lr to rounding. Set "
            f"student.dtype=float32 with runtime=bf16 (weights in float32, computation in "
            f"bfloat16), or train an adapter (student.lora.rank=16)."
        )


def trains_adapter(config: Config) -> bool:
    """Whether the training changes only an adapter of the student: a new one or a loaded one."""
    student = config.student
    return student.lora.rank is not None or bool(student.path and adapter_base(student.path))


def _check_launcher_of_adapter() -> None:
    """Refuse backends that would shard the frozen weights of a student with an adapter.

    Raises:
        InputError: the launcher has asked for FSDP2 or DeepSpeed.
    """
    fsdp = os.environ.get("ACCELERATE_USE_FSDP") == "true"
    if fsdp or uses_deepspeed():
        raise InputError(
            f"a student with an adapter cannot be trained by {'FSDP2' if fsdp else 'DeepSpeed'}: "
            f"its frozen weights are not divided among the processes. Launch with BACKEND=ddp. To "
            f"save memory, set student.dtype=bfloat16, student.load_in_4bit=true or "
            f"runtime.gradient_checkpointing=true."
        )


def uses_deepspeed() -> bool:
    """Whether the launcher has asked Accelerate for DeepSpeed."""
    return os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"


def start_processes(config: Config) -> None:
    """Join the processes of a launcher, with settings that `Accelerator` does not know."""
    on_cpu = uses_cpu(config)
    if on_cpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # otherwise DeepSpeed warns about no GPU
    state = PartialState(cpu=on_cpu, timeout=timedelta(seconds=config.runtime.timeout))
    if state.distributed_type != DistributedType.MULTI_CPU:
        return
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        allow_fsdp_on_cpu()
    if uses_deepspeed():
        use_gloo_for_all_reduce()
