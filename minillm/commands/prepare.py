"""What the commands share: device, tokenizer, data and models, ready for use."""

import logging
import os
import warnings
from collections.abc import Iterable
from datetime import timedelta

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedType, ProjectConfiguration
from transformers.integrations import unset_hf_deepspeed_config
from transformers.utils import logging as transformers_logging

from minillm import cpu
from minillm.config import Config, ModelConfig
from minillm.data.encoding import Encoded, encode
from minillm.data.records import Record
from minillm.data.sources import load_records
from minillm.data.templates import prompt_text
from minillm.data.tokenizers import load_tokenizer, train_tokenizer
from minillm.errors import InputError
from minillm.models.fit import tokenizer_differences
from minillm.models.heads import check_head
from minillm.models.language_model import (
    LanguageModel,
    build_model,
    check_length,
    load_model,
)
from minillm.runs import LOGS

log = logging.getLogger(__name__)


def start_accelerator(config: Config, output: str | None = None) -> Accelerator:
    """Processes, device and precision as `runtime` asks; trackers where there is an output."""
    if config.runtime.device == "cuda" and not torch.cuda.is_available():
        raise InputError("runtime.device=cuda, but torch sees no GPU: take runtime.device=auto.")
    if config.runtime.threads:
        torch.set_num_threads(config.runtime.threads)
    transformers_logging.disable_progress_bar()  # one bar for the run is ours
    start_processes(config)
    accelerator = Accelerator(
        mixed_precision=config.runtime.mixed_precision,
        log_with=(config.runtime.trackers or None) if output else None,
        project_config=ProjectConfiguration(output, logging_dir=output and f"{output}/{LOGS}"),
    )
    if accelerator.device.type == "cpu" and config.runtime.onednn and cpu.onednn_helps():
        cpu.use_onednn()
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        unset_hf_deepspeed_config()  # or ZeRO-3 cuts up each model that is loaded, the teacher too
        # DeepSpeed calls functions by names that torch would rather have replaced, at every layer.
        warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")
    if not accelerator.is_main_process:
        logging.getLogger("minillm").setLevel(logging.WARNING)  # one line, not one a process
        warnings.simplefilter("ignore")
    return accelerator


def start_processes(config: Config) -> None:
    """Join the processes that a launcher started, before Accelerate does without our settings.

    Raises:
        InputError: DeepSpeed is asked for float16 on a CPU.
    """
    on_cpu = config.runtime.device == "cpu" or not torch.cuda.is_available()
    if on_cpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # or DeepSpeed warns that it found no GPU
    state = PartialState(cpu=on_cpu, timeout=timedelta(seconds=config.runtime.timeout))
    if state.distributed_type != DistributedType.MULTI_CPU:
        return
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        # Accelerate knows FSDP2 on GPUs alone and would take DDP instead. torch has it on CPU too.
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
        import deepspeed.ops

        if config.runtime.mixed_precision == "fp16":
            raise InputError(
                "runtime.mixed_precision=fp16 is not supported by DeepSpeed on a CPU: take "
                "runtime=bf16 or runtime=auto there, or RUNTIME=ddp."
            )
        # DeepSpeed would compile an all-reduce of its own for minutes, to do as gloo does.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def encode_splits(
    records: dict[str, list[Record]], model_tokenizer, config: Config
) -> dict[str, Encoded]:
    """Encode every split for student and teacher, with a line in the log for each."""
    encoded, other = {}, teacher_tokenizer(config, model_tokenizer)
    for split, rows in records.items():
        encoded[split] = encode(rows, model_tokenizer, config.data, other)
        log.info("%s, %s: %s", config.data.name, split, encoded[split].summary())
    return encoded


def read_records(config: Config, splits: Iterable[str]) -> dict[str, list[Record]]:
    """The splits in the order in which they were named."""
    splits = list(splits)
    records = load_records(config.data, splits)
    return {split: records[split] for split in splits}


def make_tokenizer(config: Config, train: list[Record]):
    """The student's tokenizer: named, its own, the teacher's, or trained on the text."""
    for path in (config.student.tokenizer, config.student.path, config.teacher.path):
        if path is not None:
            return load_tokenizer(path)
    if config.data.template == "chat":
        raise InputError(
            "data.template=chat needs a tokenizer with a chat template, but the student is built "
            "from a config. Set student.tokenizer, or take data.template=plain or alpaca."
        )
    texts = [prompt_text(record, config.data.template, None) for record in train]
    texts += [reference for record in train for reference in record.references]
    return train_tokenizer(texts, config.student.vocab_size)


def max_length(config: Config) -> int:
    """Tokens of the longest sequence: a prompt with its response, or a block of plain text."""
    data = config.data
    prompt = max(data.max_prompt_length, data.max_teacher_prompt_length or 0)
    longest = prompt + data.max_response_length
    if config.method.lm_coef:
        longest = max(longest, 1 + config.method.lm_length)
    return longest


def make_model(config: Config, model: ModelConfig, tokenizer) -> LanguageModel:
    """Load or build one model, refusing one with too few positions.

    Raises:
        InputError: neither a path nor an architecture is given, or the model cannot be loaded.
    """
    if model.path is not None:
        loaded = load_model(model, tokenizer)
        check_head(loaded)
        check_length(loaded.module.config, model.path, max_length(config))
        return loaded
    if model.architecture is None:
        raise InputError(
            "no student is given: set student.path=FOLDER_OR_HUB_NAME to load one, or "
            "student.architecture=gpt2 (or llama) to build one."
        )
    return build_model(model, tokenizer, max_length(config), config.runtime.seed)


def load_frozen(config: Config, model: ModelConfig) -> LanguageModel:
    """A model in host memory that is not trained: a teacher.

    Raises:
        InputError: the model cannot be loaded.
    """
    tokenizer = load_tokenizer(model.tokenizer or model.path)
    loaded = make_model(config, model, tokenizer)
    loaded.module.requires_grad_(False).eval()
    return loaded


def teacher_tokenizer(config: Config, tokenizer):
    """The teacher's tokenizer if one teacher is named and its tokenizer differs, else None."""
    if config.teacher.path is None:
        return None
    other = load_tokenizer(config.teacher.tokenizer or config.teacher.path)
    return other if tokenizer_differences(tokenizer, other) else None
