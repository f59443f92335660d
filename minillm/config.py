"""Typed settings of every part, with defaults of the paper (appendix B.1), and their validation.

One dataclass a part; `configs/` fills them through Hydra (see `minillm/compose.py`). A method's
settings are a dataclass of its own, so that a setting of another method is refused.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from minillm.errors import InputError, unknown_name

DTYPES = ("float32", "bfloat16", "float16", "auto")
ARCHITECTURES = ("gpt2", "llama")
DATA_KINDS = ("embedded", "jsonl", "csv", "hub")
TEMPLATES = ("alpaca", "plain", "chat")
SCHEDULES = ("constant", "linear", "cosine")
SELECTIONS = ("loss", "rougeL", "last")
PRECISIONS = ("no", "bf16", "fp16")
TRACKERS = ("tensorboard", "wandb")
VARIANTS = ("paper", "official")
WEIGHTS = ("per_step", "none")
WHITENINGS = ("none", "masked", "all")


@dataclass
class ModelConfig:
    """One language model: loaded from `path`, or built with random weights from `architecture`."""

    path: str | None = None  # folder or Hub name
    tokenizer: str | None = None  # folder or Hub name; by default the one beside the model
    dtype: str = "float32"
    architecture: str | None = None
    hidden_size: int = 64
    layers: int = 2
    heads: int = 2
    dropout: float = 0.0
    # Of the tokenizer trained on the training text, for a built model without `tokenizer`.
    vocab_size: int = 2000


@dataclass
class DataConfig:
    """Where prompts and responses come from, and how they become text and tokens."""

    name: str = "embedded"  # names the result files
    kind: str = "embedded"
    path: str | None = None  # file, folder or Hub name; not used by `embedded`
    subset: str | None = None  # of a Hub data set
    train: str | None = None  # file below `path`, or split of a Hub data set
    validation: str | None = None  # where null, `validation_size` training inputs are held out
    test: str | None = None
    validation_size: int = 500
    # Our names for the columns (instruction, input, references, prompt, topic) -> theirs.
    columns: dict[str, str] = field(default_factory=dict)
    template: str = "alpaca"
    max_prompt_length: int = 256  # tokens; longer prompts are dropped, and counted
    max_response_length: int = 256  # tokens with the end-of-sequence token
    seed: int = 0  # of splits and of generated data
    plain_text: str | None = None  # text file of D_PT, a document a line, for L_PT


@dataclass
class SFTConfig:
    """Supervised fine-tuning on the gold responses."""

    name: str = "sft"


@dataclass
class KDConfig:
    """Word-level distillation: (1 - kd_ratio) * cross-entropy + kd_ratio * KL[p || q]."""

    name: str = "kd"
    kd_ratio: float = 0.5


@dataclass
class SeqKDConfig:
    """Fine-tuning on responses of the teacher, `samples_per_prompt` for each training prompt."""

    name: str = "seqkd"
    samples_per_prompt: int = 1
    temperature: float = 1.0
    generation_batch_size: int = 128
    # The responses; kept and reused, continued where a run was interrupted.
    file: str = "${output}.responses.jsonl"


@dataclass
class MiniLLMConfig:
    """The policy gradient of the reverse KL (paper, equations 3 to 7 and algorithm 1)."""

    name: str = "minillm"
    variant: str = "paper"  # sets what is null below, see objectives/minillm.py
    alpha: float = 0.2  # teacher's share in the mixture that is sampled from
    rollouts_per_collection: int = 256
    sampling_batch_size: int | None = None  # prompts decoded at once by a process; null: all
    inner_epochs: int = 4
    temperature: float = 1.0
    gamma: float = 1.0
    clip_range: float | None = 0.2  # null: no clipping
    single_step: bool = True
    single_step_weighted: bool | None = None
    return_from_next: bool | None = None
    length_normalization: bool = True
    importance_weights: str | None = None
    whitening: str | None = None
    reward_scaling: float | None = None
    reward_clip: float | None = None
    # L_PT: `lm_coef` * ((1 - lm_kd_ratio) * cross-entropy + lm_kd_ratio * KL[p || q]) on D_PT.
    lm_coef: float = 0.0
    lm_kd_ratio: float = 0.0
    lm_batch_size: int = 64
    lm_length: int = 512


@dataclass
class TrainingConfig:
    """The loop: optimiser, schedule, intervals and which checkpoint is kept as the best."""

    steps: int | None = 5000  # optimiser steps; or, where null,
    epochs: float | None = None  # passes over the training pairs
    batch_size: int = 64  # sequences of one optimiser step, over all processes
    micro_batch_size: int | None = None  # sequences in one forward pass of one process
    lr: float = 5e-6
    schedule: str = "constant"
    warmup_steps: int = 100
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 1e-6
    max_grad_norm: float = 1.0
    log_every: int = 10
    evaluate_every: int = 100
    select_by: str = "rougeL"
    validation_inputs: int = 500
    validation_seeds: list[int] = field(default_factory=lambda: [10])


@dataclass
class EvaluationConfig:
    """How responses are sampled and scored (paper, appendix B.1: temperature 1, five seeds)."""

    seeds: list[int] = field(default_factory=lambda: [10, 20, 30, 40, 50])
    greedy: bool = True
    temperature: float = 1.0
    top_k: int = 0  # 0: all
    top_p: float = 1.0
    batch_size: int = 128
    limit: int | None = None  # score only so many inputs
    name: str | None = None  # of the method in tables; by default the one that trained the model


@dataclass
class RuntimeConfig:
    """The machine's side: seed, device, precision and trackers."""

    seed: int = 1
    device: str = "auto"
    mixed_precision: str = "no"
    threads: int | None = None  # of torch on CPU; by default all
    trackers: list[str] = field(default_factory=lambda: ["tensorboard"])
    project: str = "minillm"


@dataclass
class Config:
    """The whole of one command."""

    student: ModelConfig = field(default_factory=ModelConfig)
    teacher: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    method: Any = MISSING  # one of METHOD_CONFIGS
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    output: str = "runs/unnamed"
    overwrite: bool = False


METHOD_CONFIGS = {
    config.name: config for config in (SFTConfig, KDConfig, SeqKDConfig, MiniLLMConfig)
}


def has_teacher(config: Config) -> bool:
    """Whether a teacher is named."""
    return config.teacher.path is not None


def _require(condition: bool, key: str, given: Any, allowed: str) -> None:
    if not condition:
        raise InputError(f"{key}={given} is not allowed: it must be {allowed}.")


def _require_one_of(key: str, given: str, allowed: tuple[str, ...]) -> None:
    if given not in allowed:
        raise unknown_name(key, given, allowed)


def _validate_model(key: str, model: ModelConfig) -> None:
    _require_one_of(f"{key}.dtype", model.dtype, DTYPES)
    if model.path is not None and model.architecture is not None:
        raise InputError(
            f"{key}.path={model.path} and {key}.architecture={model.architecture} are both set: a "
            f"model is either loaded or built. Set one of them to null."
        )
    if model.architecture is not None:
        _require_one_of(f"{key}.architecture", model.architecture, ARCHITECTURES)
        for name in ("hidden_size", "layers", "heads"):
            _require(getattr(model, name) >= 1, f"{key}.{name}", getattr(model, name), ">= 1")
        divides = model.hidden_size % model.heads == 0
        _require(divides, f"{key}.heads", model.heads, f"a divisor of {model.hidden_size}")
        _require(model.vocab_size >= 300, f"{key}.vocab_size", model.vocab_size, ">= 300")


def _validate_data(data: DataConfig) -> None:
    _require_one_of("data.kind", data.kind, DATA_KINDS)
    _require_one_of("data.template", data.template, TEMPLATES)
    if data.kind != "embedded" and data.path is None:
        raise InputError(
            f"data.path is not set: data.kind={data.kind} needs the file, folder or Hub name to "
            f"read. Add data.path=PATH."
        )
    for name in ("max_prompt_length", "max_response_length", "validation_size"):
        _require(getattr(data, name) >= 1, f"data.{name}", getattr(data, name), ">= 1")


def _validate_minillm(method: MiniLLMConfig) -> None:
    _require_one_of("method.variant", method.variant, VARIANTS)
    _require(0 <= method.alpha <= 1, "method.alpha", method.alpha, "from 0 to 1")
    _require(method.rollouts_per_collection >= 1, "method.rollouts_per_collection",
             method.rollouts_per_collection, ">= 1")  # fmt: skip
    _require(method.inner_epochs >= 1, "method.inner_epochs", method.inner_epochs, ">= 1")
    _require(method.temperature > 0, "method.temperature", method.temperature, "above 0")
    _require(0 <= method.gamma <= 1, "method.gamma", method.gamma, "from 0 to 1")
    if method.importance_weights is not None:
        _require_one_of("method.importance_weights", method.importance_weights, WEIGHTS)
    if method.whitening is not None:
        _require_one_of("method.whitening", method.whitening, WHITENINGS)
    _require(0 <= method.lm_kd_ratio <= 1, "method.lm_kd_ratio", method.lm_kd_ratio, "from 0 to 1")


def _validate_training(training: TrainingConfig) -> None:
    if (training.steps is None) == (training.epochs is None):
        raise InputError(
            f"training.steps={training.steps} and training.epochs={training.epochs}: set exactly "
            f"one of them, the other to null."
        )
    _require_one_of("training.schedule", training.schedule, SCHEDULES)
    _require_one_of("training.select_by", training.select_by, SELECTIONS)
    for name in ("batch_size", "log_every", "evaluate_every", "validation_inputs"):
        _require(getattr(training, name) >= 1, f"training.{name}", getattr(training, name), ">= 1")
    _require(training.lr > 0, "training.lr", training.lr, "above 0")
    _require(len(training.validation_seeds) > 0, "training.validation_seeds", "[]", "not empty")


def validate(config: Config) -> None:
    """Refuse settings that cannot work, before anything is loaded.

    Raises:
        InputError: naming the setting, what was given and what is allowed.
    """
    for key in ("student", "teacher"):
        _validate_model(key, getattr(config, key))
    _validate_data(config.data)
    if isinstance(config.method, MiniLLMConfig):
        _validate_minillm(config.method)
    _validate_training(config.training)
    _require_one_of("runtime.mixed_precision", config.runtime.mixed_precision, PRECISIONS)
    for tracker in config.runtime.trackers:
        _require_one_of("runtime.trackers", tracker, TRACKERS)
    _require(config.evaluation.batch_size >= 1, "evaluation.batch_size",
             config.evaluation.batch_size, ">= 1")  # fmt: skip
    _require(len(config.evaluation.seeds) > 0, "evaluation.seeds", "[]", "not empty")
    if Path(config.output).is_file():
        raise InputError(f"output={config.output} is a file: give the name of a folder.")
