"""Typed settings of every part, with defaults of the paper (appendix B.1).

One dataclass a part; `configs/` fills them through Hydra (see `minillm/compose.py`). A method's
settings are a dataclass of its own, so that a setting of another method is refused.
"""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


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
    # Rows decoded at once by a process, refilled as responses end; null: all.
    sampling_batch_size: int | None = None
    # Rows that share the coins of the mixture; 1: each its own; null: all decoded at once. Small
    # groups are less correlated, and call the teacher at almost every token.
    coin_group: int | None = None
    inner_epochs: int = 4
    temperature: float = 1.0
    gamma: float = 1.0
    clip_range: float | None = 0.2  # null: no clipping
    single_step: bool = True
    single_step_weighted: bool | None = None
    return_from_next: bool | None = None
    length_normalization: bool = True
    importance_weights: str | None = None
    weight_bound: float | None = None  # of truncated_product
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
    epochs: float | None = None  # passes over the training data
    batch_size: int = 64  # sequences of one optimiser step, over all processes
    micro_batch_size: int | None = None  # sequences in one forward pass of one process
    # Tokens whose logits over the vocabulary exist at once; null: what the device should take.
    chunk_size: int | None = None
    lr: float = 5e-6
    schedule: str = "constant"
    warmup_steps: int = 100
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 1e-6
    max_grad_norm: float = 1.0
    log_every: int = 10
    evaluate_every: int = 100
    checkpoint_every: int | None = None  # steps; null: at each validation
    keep_checkpoints: int = 2  # the newest of them
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
    """The machine's side: seed, device, precision, processes and trackers."""

    seed: int = 1
    device: str = "auto"
    mixed_precision: str = "no"
    threads: int | None = None  # of torch on CPU; by default all
    onednn: bool = True  # float32 products by oneDNN on CPUs where that is faster (cpu.py)
    teacher_device: str | None = None  # such as cuda:1; null: where the student is
    teacher_offload: bool = False  # the teacher waits in host memory while nobody reads with it
    timeout: int = 1800  # seconds that a process waits for the others before the run ends
    # Spread the teacher's weights over the processes; each gathers all while it reads with them.
    shard_teacher: bool = False
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
    # auto: from the newest checkpoint of `output` that is whole, or from the start where there is
    # none; or the folder of a checkpoint.
    resume: str | None = None


METHOD_CONFIGS = {
    config.name: config for config in (SFTConfig, KDConfig, SeqKDConfig, MiniLLMConfig)
}
