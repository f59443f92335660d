"""The one place that validates settings: what numbers and words may be, and what goes together."""

from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

from minillm.config import METHOD_CONFIGS, Config, DataConfig, TrainingConfig
from minillm.errors import InputError, unknown_name

# What numbers may be: in words, the test, and the settings that it holds for.
RANGES: tuple[tuple[str, Callable[[float], bool], str], ...] = (
    ("1 or more", lambda x: 1 <= x < inf,
     "data.max_prompt_length data.max_response_length data.validation_size training.steps "
     "training.batch_size training.micro_batch_size training.chunk_size training.log_every "
     "training.evaluate_every training.checkpoint_every training.keep_checkpoints "
     "training.validation_inputs evaluation.batch_size evaluation.limit "
     "runtime.threads runtime.timeout "
     "method.samples_per_prompt method.generation_batch_size method.rollouts_per_collection "
     "method.sampling_batch_size method.coin_group method.inner_epochs method.lm_batch_size "
     "method.lm_length method.weight_bound student.hidden_size student.layers student.heads"),
    ("300 or more", lambda x: x >= 300, "student.vocab_size"),
    ("0 or more", lambda x: 0 <= x < inf,
     "training.warmup_steps training.weight_decay evaluation.temperature evaluation.top_k "
     "method.lm_coef"),
    ("above 0", lambda x: 0 < x < inf,
     "training.epochs training.lr training.max_grad_norm method.temperature method.clip_range "
     "method.reward_scaling method.reward_clip"),
    ("from 0 to 1", lambda x: 0 <= x <= 1,
     "method.kd_ratio method.alpha method.gamma method.lm_kd_ratio"),
    ("0 or more and below 1", lambda x: 0 <= x < 1, "training.betas student.dropout"),
    ("above 0 and at most 1", lambda x: 0 < x <= 1, "evaluation.top_p"),
    ("a whole number from 0 to 4294967295", lambda x: 0 <= x < 2**32,
     "data.seed runtime.seed training.validation_seeds evaluation.seeds"),
)  # fmt: skip
# What words may be.
CHOICES = {
    "student.dtype": ("float32", "bfloat16", "float16", "auto"),
    "teacher.dtype": ("float32", "bfloat16", "float16", "auto"),
    "student.architecture": ("gpt2", "llama"),
    "data.kind": ("embedded", "jsonl", "csv", "hub"),
    "data.template": ("alpaca", "plain", "chat"),
    "data.columns": ("instruction", "input", "references", "prompt", "topic"),
    "method.variant": ("paper", "official"),
    "method.importance_weights": ("per_step", "product", "truncated_product", "none"),
    "method.whitening": ("none", "masked", "all"),
    "training.schedule": ("constant", "linear", "cosine"),
    "training.select_by": ("loss", "rougeL", "last"),
    "runtime.device": ("auto", "cpu", "cuda"),
    "runtime.mixed_precision": ("no", "bf16", "fp16"),
    "runtime.trackers": ("tensorboard", "wandb"),
}


def _values(config: Config, key: str) -> list:
    """What is set at a dotted key, each member of a list; nothing where null or not there."""
    section, name = key.split(".")
    value = getattr(getattr(config, section), name, None)
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple | dict) else [value]


def _require(condition: bool, key: str, given: Any, allowed: str) -> None:
    if not condition:
        raise InputError(f"{key}={given} is not allowed: it must be {allowed}.")


def _validate_models(config: Config) -> None:
    student, teacher = config.student, config.teacher
    if teacher.architecture is not None:
        raise InputError(
            f"teacher.architecture={teacher.architecture} is not allowed: a teacher is loaded, "
            f"never built. Set teacher.path=FOLDER_OR_HUB_NAME."
        )
    if student.path is not None and student.architecture is not None:
        raise InputError(
            f"student.path={student.path} and student.architecture={student.architecture} are both "
            f"set: a model is either loaded or built. Set one of them to null."
        )
    divides = student.hidden_size % student.heads == 0
    _require(divides, "student.heads", student.heads, f"a divisor of {student.hidden_size}")
    for key in ("student.path", "student.tokenizer", "teacher.path", "teacher.tokenizer"):
        for path in _values(config, key):
            if _names_a_folder(path) and not Path(path).is_dir():
                raise InputError(f"{key}={path}: there is no such folder. Give another, or null.")


def _names_a_folder(path: str) -> bool:
    """Whether a path can be no Hub name, which is NAME or OWNER/NAME."""
    parts = Path(path).parts
    return len(parts) > 2 or path[:1] in "./~" or (len(parts) == 2 and Path(parts[0]).is_dir())


def _validate_data(data: DataConfig) -> None:
    if data.kind != "embedded" and data.path is None:
        raise InputError(
            f"data.path is not set: data.kind={data.kind} needs the file, folder or Hub name to "
            f"read. Add data.path=PATH."
        )
    _require("/" not in data.name, "data.name", data.name, "a name without '/': it names a file")


def _validate_training(training: TrainingConfig) -> None:
    if (training.steps is None) == (training.epochs is None):
        raise InputError(
            f"training.steps={training.steps} and training.epochs={training.epochs}: set exactly "
            f"one of them, the other to null."
        )
    _require(len(training.betas) == 2, "training.betas", training.betas, "two numbers")


def _validate_placement(config: Config) -> None:
    reads_always = config.method.name == "kd" or (
        getattr(config.method, "lm_coef", 0) > 0 and config.method.lm_kd_ratio > 0
    )
    runtime = config.runtime
    if runtime.shard_teacher and (runtime.teacher_offload or runtime.teacher_device):
        raise InputError(
            "runtime.shard_teacher=true is not allowed here: a teacher of which each process holds "
            "a part can neither rest in host memory nor have a device of its own. Set "
            "runtime.teacher_offload=false and runtime.teacher_device=null, or shard_teacher=false."
        )
    if runtime.teacher_offload and reads_always:
        raise InputError(
            "runtime.teacher_offload=true is not allowed here: this method reads with the teacher "
            "at every step. Set it to false (or method.lm_kd_ratio=0 in MiniLLM)."
        )


def validate(config: Config) -> None:
    """Refuse settings that cannot work, before anything is loaded.

    Raises:
        InputError: naming the setting, what was given and what is allowed.
    """
    name = config.method.name
    if type(config.method) is not METHOD_CONFIGS.get(name):
        raise InputError(f"method.name={name} is not allowed here: pick a method by method={name}.")
    for key, allowed in CHOICES.items():
        for value in _values(config, key):
            if value not in allowed:
                raise unknown_name(key, value, allowed)
    for words, is_allowed, keys in RANGES:
        for key in keys.split():
            for value in _values(config, key):
                _require(is_allowed(value), key, value, words)
    for key in ("training.validation_seeds", "evaluation.seeds"):
        _require(len(_values(config, key)) > 0, key, "[]", "a list of at least one seed")
    _validate_models(config)
    _validate_data(config.data)
    _validate_training(config.training)
    _validate_placement(config)
    if config.resume and config.overwrite:
        raise InputError(
            f"resume={config.resume} and overwrite=true are both set: a run either goes on or is "
            f"deleted. Leave one out."
        )
    if Path(config.output).is_file():
        raise InputError(f"output={config.output} is a file: give the name of a folder.")
