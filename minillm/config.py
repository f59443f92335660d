"""Typed settings of every part, with defaults of the paper (appendix B.1).

Each part has a dataclass, which Hydra fills from `configs/` (see `minillm/compose.py`). The rules
of a setting are beside its field: its allowed numbers and words, and whether it may change when a
run continues (see `minillm/settings/rules.py`). Rules about several settings are in
`minillm/config_checks.py`.
"""

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from minillm.settings.rules import setting

# The rules of a seed: torch, NumPy and Python accept these numbers.
SEED = {"at_least": 0, "at_most": 2**32 - 1}
# The training data have a validation split of their own.
HAS_VALIDATION = "kind=embedded or validation"
# The settings of a token loss that let the student write responses.
STUDENT_WRITES = "student_share or student_share_end"


@dataclass
class ModelConfig:
    """One language model: loaded from `path`, or built with random weights from `architecture`."""

    path: str | None = None  # folder or Hub name
    # Of a Hub name: a commit, branch or tag; null: the default branch.
    revision: str | None = None
    tokenizer: str | None = None  # folder or Hub name; null: the tokenizer of the model
    # Weights that are trained need float32, except with DeepSpeed in mixed precision. A student
    # with an adapter trains only the adapter, whose weights are always float32.
    dtype: str = setting("float32", choices=("float32", "bfloat16", "float16", "auto"))
    # Whether linear layers are stored in 4 bits (NF4, QLoRA). `dtype` is that of other weights.
    load_in_4bit: bool = False
    architecture: str | None = setting(None, choices=("gpt2", "llama"))
    hidden_size: int = setting(64, at_least=1)
    layers: int = setting(2, at_least=1)
    heads: int = setting(2, at_least=1)
    dropout: float = setting(0.0, at_least=0, below=1)
    # Size of the tokenizer that is trained for a built model if no tokenizer is named.
    vocab_size: int = setting(2000, at_least=300)


@dataclass
class LoraConfig:
    """LoRA: the student trains small matrices beside its frozen weights (docs/lora.md)."""

    rank: int | None = setting(None, at_least=1)  # null: no new adapter
    alpha: float | None = setting(None, above=0, only_with="rank")  # null: 2 * rank
    # Of the input of the adapter, in methods that train with dropout.
    dropout: float = setting(0.0, at_least=0, below=1, only_with="rank")
    # Names of linear layers, such as [q_proj,v_proj]; null: all of them but the output head.
    target_modules: list[str] | None = setting(None, not_empty=True, only_with="rank")
    # What `best` and `last` contain: the `merged` model with the adapter in a folder beside it, or
    # only the `adapter`, which is small.
    saves: str = setting("merged", choices=("merged", "adapter"), may_change=True)


@dataclass
class StudentConfig(ModelConfig):
    """The student, its name in the tables of `minillm report paper`, and its adapter."""

    family: str | None = setting(None, may_change=True)  # such as GPT-2
    size: str | None = setting(None, may_change=True)  # such as 120M
    lora: LoraConfig = setting(LoraConfig())


@dataclass
class MemberConfig:
    """One model of an ensemble."""

    path: str = MISSING  # folder or Hub name
    revision: str | None = None  # of a Hub name; null: the default branch
    weight: float = setting(1.0, above=0)
    dtype: str = setting("float32", choices=("float32", "bfloat16", "float16", "auto"))


@dataclass
class TeacherConfig(ModelConfig):
    """The teacher.

    `local`: the frozen model of `path`. `ensemble`: the mixture of `members`. `average`: the moving
    average of the student's weights. `base`: the student without its adapter, which needs no
    further memory for weights.
    """

    kind: str = setting("local", choices=("local", "ensemble", "average", "base"))
    # The teacher's distributions keep the k most likely tokens and a tail; null: all tokens.
    top_k: int | None = setting(None, at_least=1)
    members: list[MemberConfig] = setting([])
    mixture: str = setting(
        "arithmetic", choices=("arithmetic", "geometric"), only_with="kind=ensemble"
    )
    # The student's share in an update of `average`, and the optimiser steps per update.
    rate: float = setting(0.01, above=0, at_most=1, only_with="kind=average")
    update_every: int = setting(1, at_least=1, only_with="kind=average")


@dataclass
class DataConfig:
    """Where prompts and responses come from, and how they become text and tokens."""

    name: str = "data"  # names the result files
    # The format of the files; `files` tells the format of each file from its ending. null: no data
    # are named, which is allowed only where none are read.
    kind: str | None = setting(
        None, choices=("embedded", "files", "jsonl", "json", "csv", "parquet", "hub")
    )
    path: str | None = setting(None, not_with="kind=embedded")  # file, folder or Hub name
    subset: str | None = None  # of a Hub data set
    # Of a Hub data set: a commit, branch or tag; null: the default branch.
    revision: str | None = setting(None, only_with="kind=hub")
    # A file below `path`; of a Hub data set, a split or a file.
    train: str | None = setting(None, not_with="kind=embedded")
    # null: `validation_size` training inputs are held out.
    validation: str | None = setting(None, not_with="kind=embedded")
    test: str | None = setting(None, not_with="kind=embedded")
    # Whether the data have no training and validation split; then only `evaluate` and `data` read
    # them.
    test_only: bool = setting(False, not_with="kind=embedded")
    validation_size: int = setting(500, at_least=1, not_with=HAS_VALIDATION)
    # The training inputs that are held out: `random` inputs, which `seed` selects, or the `first`
    # rows of the training data (official code).
    hold_out: str = setting("random", choices=("random", "first"), not_with=HAS_VALIDATION)
    # Rows with the same input: `merge` makes one input with all their references, `keep` keeps all
    # rows as inputs (official code).
    duplicates: str = setting("merge", choices=("merge", "keep"), not_with="kind=embedded")
    # The column names of this project -> the column names in the data.
    columns: dict[str, str] = setting(
        {},
        choices=(
            "instruction", "input", "references", "prompt", "topic", "teacher_prompt", "id",
            "messages",
        ),
    )  # fmt: skip
    # Of a classification: a label in the data -> its label word, which becomes the response.
    labels: dict[str, str] = setting({}, not_with="kind=embedded")
    # The instruction of all rows, instead of a column.
    instruction: str | None = setting(None, not_with="kind=embedded or template=ready")
    # How a prompt is made; `ready` takes the text in the column `prompt` as it is.
    template: str = setting("plain", choices=("alpaca", "plain", "chat", "ready"))
    # Template of the prompt that the teacher reads; null: the teacher reads the student's prompt.
    teacher_template: str | None = setting(
        None, choices=("alpaca", "plain", "chat", "demonstration")
    )
    # Tokens; null: `max_prompt_length`.
    max_teacher_prompt_length: int | None = setting(None, at_least=1)
    max_prompt_length: int = setting(256, at_least=1)  # tokens; longer prompts are dropped
    # Longer prompts of the test split: `drop` drops them, too; `truncate` keeps their first
    # `max_prompt_length` tokens (official code).
    long_test_prompts: str = setting("drop", choices=("drop", "truncate"))
    max_response_length: int = setting(256, at_least=1)  # tokens, including EOS
    # Tokens of a prompt and its given response together; then `max_response_length` limits only
    # sampled responses (official code: 512). null: `max_response_length` limits all responses.
    max_length: int | None = setting(None, at_least=2)
    # The test inputs whose first reference has this number of tokens of the model's tokenizer,
    # without EOS (paper, section 3.3: [0, 5], [6, 10] and [11, inf)). null: no upper limit.
    min_reference_length: int = setting(0, at_least=0)
    max_reference_length: int | None = setting(None, at_least=0)
    # Whether the tokenizer reads a given response alone, or together with its prompt (official
    # code). Only `joint` gives the tokens that a model reads if it reads the whole text at once.
    tokenize: str = setting("separate", choices=("separate", "joint"))
    # Whether prompts begin with the special tokens that the tokenizer adds, such as BOS (official
    # code: false). A chat template writes all special tokens itself.
    special_tokens: bool = True
    seed: int = setting(0, **SEED)  # of splits and of generated data
    # File of D_PT for L_PT: text with one document per line, or .jsonl with a `text` per line.
    plain_text: str | None = None
    # Folder of the tokenised text, which all processes share; null: the folder of `plain_text`.
    plain_text_cache: str | None = setting(None, may_change=True)

    @property
    def teacher_prompt_limit(self) -> int:
        """The maximum tokens of a prompt that the teacher reads."""
        return self.max_teacher_prompt_length or self.max_prompt_length


@dataclass
class MethodConfig:
    """Settings of every method: its name, and the language-modelling loss L_PT on plain text."""

    name: str = ""  # names the method in tables
    # L_PT: `lm_coef` * ((1 - lm_kd_ratio) * cross-entropy + lm_kd_ratio * KL[p || q]) on D_PT.
    lm_coef: float = setting(0.0, at_least=0)
    lm_kd_ratio: float = setting(0.0, at_least=0, at_most=1, only_with="lm_coef")
    lm_batch_size: int = setting(64, at_least=1, multiple_of_processes=True, only_with="lm_coef")
    lm_length: int = setting(512, at_least=2, only_with="lm_coef")

    @property
    def reads_distributions(self) -> bool:
        """Whether a loss compares distributions that the teacher computes in every step."""
        return self.lm_coef > 0 and self.lm_kd_ratio > 0

    @property
    def reads_teacher_each_step(self) -> bool:
        """Whether the teacher makes forward passes in every optimiser step."""
        return self.reads_distributions

    @property
    def scores_tokens(self) -> bool:
        """Whether the teacher scores tokens of the student's vocabulary."""
        return self.reads_teacher_each_step

    @property
    def samples_teacher(self) -> bool:
        """Whether responses are sampled from the teacher."""
        return False

    @property
    def response_file(self) -> str | None:
        """The file of the responses that the teacher writes before the training, if any."""
        return None

    @property
    def needs_teacher(self) -> bool:
        """Whether the method has a teacher."""
        return self.scores_tokens or self.samples_teacher

    @property
    def follows_a_schedule(self) -> bool:
        """Whether a step depends on the number of all steps."""
        return False


@dataclass
class TokenLossConfig(MethodConfig):
    """(1 - kd_ratio) * cross-entropy + kd_ratio * divergence, per token of given sequences.

    The presets `sft`, `kd`, `seqkd`, `gkd`, `imitkd` and others choose among these settings.
    """

    name: str = "token_loss"
    # Who wrote the responses: the data (gold), or the teacher (SeqKD).
    source: str = setting("gold", choices=("gold", "teacher"))
    # The responses of the teacher: their number per training prompt, and their file. A run reuses
    # a complete file, and completes the file of an interrupted run.
    samples_per_prompt: int = setting(1, at_least=1, only_with="source=teacher")
    # Rows that a process decodes at once; new prompts replace ended rows.
    generation_batch_size: int = setting(128, at_least=1, only_with="source=teacher")
    file: str = setting("${output}.responses.jsonl", may_change=True, only_with="source=teacher")
    # The share lambda of responses that the student writes. The share changes linearly from the
    # first step to `student_share_end` at the last step; null: constant.
    student_share: float = setting(0.0, at_least=0, at_most=1)
    student_share_end: float | None = setting(None, at_least=0, at_most=1)
    # Student-written responses that each process stores. With probability `replay_share`, a stored
    # response replaces a new one.
    replay_size: int = setting(0, at_least=0, only_with=STUDENT_WRITES)
    replay_share: float = setting(0.0, at_least=0, at_most=1, only_with="replay_size")
    # Temperature at which responses are sampled.
    temperature: float = setting(1.0, above=0, only_with=f"{STUDENT_WRITES} or source=teacher")
    # Rows that a process decodes at once; new prompts replace ended rows. null: all rows.
    sampling_batch_size: int | None = setting(None, at_least=1, only_with=STUDENT_WRITES)
    # Weight of the divergence in the loss; the cross-entropy has the weight 1 - kd_ratio.
    kd_ratio: float = setting(0.0, at_least=0, at_most=1)
    # A name of objectives/divergences/, or names with weights: {forward_kl: 1, reverse_kl: 2}.
    divergence: Any = setting("forward_kl", only_with="kd_ratio")
    # Parameters of the divergences by name, such as beta of jsd.
    parameters: dict[str, float] = setting({}, only_with="kd_ratio")
    # Temperatures of both distributions in the divergence; null: the student's temperature.
    student_temperature: float = setting(1.0, above=0, only_with="kd_ratio")
    teacher_temperature: float | None = setting(None, above=0, only_with="kd_ratio")
    # Whether the divergence is multiplied by the square of the student's temperature.
    temperature_squared: bool = setting(True, only_with="kd_ratio")
    # Pairs of decoder layers [student, teacher] whose hidden states are matched; null: none. The
    # first layer is 1, the last layer is -1.
    layers: list[list[int]] | None = None
    layer_distance: str = setting("mse", choices=("mse", "cosine"), only_with="layers")
    layer_weight: float = setting(1.0, above=0, only_with="layers")

    @property
    def reads_distributions(self) -> bool:
        return self.kd_ratio > 0 or super().reads_distributions

    @property
    def reads_teacher_each_step(self) -> bool:
        return bool(self.layers) or super().reads_teacher_each_step

    @property
    def samples_teacher(self) -> bool:
        return self.source == "teacher"

    @property
    def response_file(self) -> str | None:
        return self.file if self.source == "teacher" else None

    @property
    def follows_a_schedule(self) -> bool:
        return self.student_share_end is not None


@dataclass
class MiniLLMConfig(MethodConfig):
    """The policy gradient of the reverse KL (paper, equations 3 to 7 and algorithm 1)."""

    name: str = "minillm"
    # Sets the settings below that are null, see objectives/minillm.py.
    variant: str = setting("paper", choices=("paper", "official", "average_reward"))
    # Weight of the teacher in the sampled mixture.
    alpha: float = setting(0.2, at_least=0, at_most=1)
    rollouts_per_collection: int = setting(256, at_least=1, multiple_of_processes=True)
    # Responses that are sampled for each prompt of a collection.
    responses_per_prompt: int = setting(1, at_least=1)
    # Rows that a process decodes at once; new prompts replace ended rows. null: all rows.
    sampling_batch_size: int | None = setting(None, at_least=1)
    # Rows that share the coins of the mixture; null: all rows that are decoded at once. Rows of
    # small groups are less correlated, but call the teacher at almost every token.
    coin_group: int | None = setting(None, at_least=1)
    inner_epochs: int = setting(4, at_least=1)
    temperature: float = setting(1.0, above=0)
    gamma: float | None = setting(None, at_least=0, at_most=1)
    clip_range: float | None = setting(0.2, above=0)  # null: no clipping
    single_step: bool = True
    single_step_weighted: bool | None = None
    return_from_next: bool | None = None
    length_normalization: bool | None = None
    importance_weights: str | None = setting(
        None, choices=("per_step", "product", "truncated_product", "none")
    )
    weight_bound: float | None = setting(None, at_least=1)  # of truncated_product
    whitening: str | None = setting(None, choices=("none", "masked", "all"))
    reward_scaling: float | None = setting(None, above=0)
    reward_clip: float | None = setting(None, above=0)
    rewards: str | None = setting(None, choices=("sampled", "expected"))
    reward_center: str | None = setting(None, choices=("none", "batch", "position"))
    baseline: str | None = setting(None, choices=("none", "position", "prompt"))

    @property
    def scores_tokens(self) -> bool:
        return True

    @property
    def samples_teacher(self) -> bool:
        return True


@dataclass
class SizeConfig:
    """Training settings of a student with at least so many parameters; null: no other value."""

    at_least: float = MISSING  # parameters, such as 1.3e9
    lr: float | None = setting(None, above=0)
    epochs: float | None = setting(None, above=0)


@dataclass
class TrainingConfig:
    """The loop: optimiser, schedule, intervals and the selection of the best checkpoint."""

    steps: int | None = setting(5000, at_least=1)  # optimiser steps; null: `epochs` is used
    epochs: float | None = setting(None, above=0)  # passes over the training data
    # Seconds of training, after which the run ends, also before `steps` or `epochs`. Validations
    # do not count, nor do the responses that a teacher writes before the first step.
    seconds: float | None = setting(None, above=0, only_with="schedule=constant")
    # Sequences per optimiser step, over all processes.
    batch_size: int = setting(64, at_least=1, multiple_of_processes=True)
    # Sequences per forward pass of one process.
    micro_batch_size: int | None = setting(None, at_least=1, may_change=True)
    # Tokens whose logits over the vocabulary exist at once; null: as many as suit the device.
    chunk_size: int | None = setting(None, at_least=1, may_change=True)
    lr: float = setting(5e-6, above=0)
    schedule: str = setting("constant", choices=("constant", "linear", "cosine"))
    warmup_steps: int = setting(100, at_least=0)
    betas: tuple[float, float] = setting((0.9, 0.95), at_least=0, below=1)
    weight_decay: float = setting(1e-6, at_least=0)
    max_grad_norm: float = setting(1.0, above=0)
    log_every: int = setting(10, at_least=1, may_change=True)
    evaluate_every: int = setting(100, at_least=1)
    # Steps; null: `evaluate_every`.
    checkpoint_every: int | None = setting(None, at_least=1, may_change=True)
    keep_checkpoints: int = setting(2, at_least=1, may_change=True)  # older ones are deleted
    select_by: str = "rougeL"  # a validation score, or `last`; see evaluation/selection.py
    # select_by=frontier samples twice per prompt at these temperatures. The score is ROUGE-L where
    # the two responses have this share of distinct 4-grams. Identical responses have up to 0.5.
    frontier: list[float] = setting(
        [0.3, 0.6, 1.0, 1.5], above=0, not_empty=True, only_with="select_by=frontier"
    )
    frontier_diversity: float = setting(0.8, above=0.5, at_most=1, only_with="select_by=frontier")
    validation_inputs: int = setting(500, at_least=1)
    validation_seeds: list[int] = setting([10], **SEED, not_empty=True)
    # Other values of `lr` and `epochs` for large students. Values of the command line, and of a
    # file of settings without this list, have priority. A run stores the values that it uses, and
    # an empty list.
    by_size: list[SizeConfig] = setting([])

    def total_steps(self, epoch_size: int) -> int:
        """Optimiser steps: `steps`, or the steps of `epochs` passes over `epoch_size` sequences."""
        if self.steps is not None:
            return self.steps
        return max(1, round(self.epochs * epoch_size / self.batch_size))


@dataclass
class EvaluationConfig:
    """How responses are sampled and scored (paper, appendix B.1: temperature 1, five seeds)."""

    seeds: list[int] = setting([10, 20, 30, 40, 50], **SEED, not_empty=True)
    greedy: bool = True
    temperature: float = setting(1.0, at_least=0)
    top_k: int = setting(0, at_least=0)  # 0: all
    top_p: float = setting(1.0, above=0, at_most=1)
    # Rows that a process decodes at once, also in validation; new prompts replace ended rows.
    batch_size: int = setting(128, at_least=1)
    # Temperatures of the frontier of quality and diversity; null or []: no frontier. Its points use
    # neither `temperature` nor `top_k` nor `top_p`.
    frontier: list[float] | None = setting(None, above=0)
    # Shares of the mass, at temperature 1, of further points of the frontier.
    frontier_top_p: list[float] | None = setting(None, above=0, below=1)
    # Responses per prompt at each point. Diversities are comparable for equal numbers only.
    frontier_samples: int = setting(2, at_least=2, only_with="frontier or frontier_top_p")
    # Responses per prompt of the student and of the teacher, at temperature 1, from which the
    # exposure bias is computed (paper: 10); null: the exposure bias is not computed.
    exposure_samples: int | None = setting(None, at_least=1)
    limit: int | None = setting(None, at_least=1)  # number of inputs to score; null: all
    metrics: list[str] | None = None  # of evaluation/metrics.py; null: all cheap metrics
    name: str | None = None  # of the method in tables; null: the method that trained the model

    @property
    def has_frontier(self) -> bool:
        return bool(self.frontier or self.frontier_top_p)


@dataclass
class PruningConfig:
    """What `minillm prune` keeps of a model. Only this command has these settings, without section.

    A setting that is null keeps everything.
    """

    layers: int | None = setting(None, at_least=1)  # number of decoder layers
    # How the layers are chosen: evenly spaced; those that turn the hidden states most (`angle`); or
    # all but the adjacent layers that together turn them least (`block`).
    by: str = setting("even", choices=("even", "angle", "block"))
    # The layers themselves, instead of a number. The first layer is 1, the last layer is -1.
    keep: list[int] | None = None
    # Hidden units of the feed-forward part of each layer, and query heads and key-value heads of
    # each layer: those with the largest activations. null for `kv_heads` keeps all key-value heads,
    # or, if each query head has its own, as many as `heads`.
    ffn: int | None = setting(None, at_least=1)
    heads: int | None = setting(None, at_least=1)
    kv_heads: int | None = setting(None, at_least=1)
    # Training inputs whose first responses are read to choose, and validation inputs on which the
    # result is compared with the original. 0: no data are read.
    inputs: int = setting(64, at_least=0)

    @property
    def reads_data(self) -> bool:
        """Whether the choice depends on data."""
        return self.by != "even" or bool(self.ffn or self.heads or self.kv_heads)


@dataclass
class ServerConfig:
    """How a language model behind a server with the API of OpenAI is asked.

    `JudgeConfig` and the settings `system2.server` extend these. The address and the key of the
    server are in the environment variables OPENAI_BASE_URL and OPENAI_API_KEY.
    """

    # For messages, and no settings: the section, and the setting with which less is asked.
    section = "server"
    asks_less = ""

    model: str | None = None  # as the server names it
    max_tokens: int = setting(512, at_least=1)  # of an answer, with the reasoning of a model
    body: dict[str, Any] = setting({})  # further parameters of the request
    # How often a request is sent again after a failure of the server, and the seconds after which a
    # request has failed.
    retries: int = setting(6, at_least=0)
    timeout: float = setting(120.0, above=0)
    concurrency: int = setting(8, at_least=1)  # requests at once
    # Limits of a command, checked before questions are asked and before each of them; null: none.
    max_calls: int | None = setting(2000, at_least=0)
    max_cost: float | None = setting(None, at_least=0)
    # Prices of one million tokens, in any currency, for the cost.
    price_input: float | None = setting(None, at_least=0)
    price_output: float | None = setting(None, at_least=0)
    cache: str = "runs/server_cache.jsonl"  # the file of all answers, of any number of runs


@dataclass
class JudgeConfig(ServerConfig):
    """How `minillm judge` asks a language model for scores. Only this command has these settings.

    They are written with the section `judge`, such as `judge.model=gpt-4o`. If `model` is null, the
    environment variable MINILLM_JUDGE_MODEL names it. The cache is a file of its own.
    """

    section = "judge"
    asks_less = "judge.limit=INPUTS"

    cache: str = "runs/judge_cache.jsonl"
    # Whose responses are judged: those of these sampling seeds (null: of the first seed of the
    # result), and those of greedy decoding.
    seeds: list[int] | None = setting(None, **SEED, not_empty=True)
    greedy: bool = False
    limit: int | None = setting(None, at_least=1)  # number of inputs, the first; null: all
    # A run or a result of another model, whose responses to the same inputs are compared.
    against: str | None = None
    # Sampling of the answers. A parameter that is null is not sent, for servers that refuse it.
    temperature: float | None = setting(0.0, at_least=0)
    seed: int | None = setting(1, **SEED)
    repeats: int = setting(2, at_least=0)  # how often a question is asked again after a bad answer
    overwrite: bool = False  # whether the scores of another judge in a result are replaced


@dataclass
class RuntimeConfig:
    """Seed, device, precision, processes and trackers."""

    seed: int = setting(1, **SEED)
    device: str = setting("auto", choices=("auto", "cpu", "cuda"), may_change=True)
    mixed_precision: str = setting("no", choices=("no", "bf16", "fp16"))
    # How student and teacher compute attention, such as eager, sdpa or flash_attention_2: a name
    # that transformers knows. null: the choice of transformers.
    attn_implementation: str | None = setting(None, may_change=True)
    # Whether GPUs round the factors of float32 products to TF32 (mantissas of 10 bits), for speed.
    tf32: bool = False
    # Whether backward computes the activations inside of the student's layers again, to store less.
    gradient_checkpointing: bool = setting(False, may_change=True)
    # Threads of torch on a CPU; null: all.
    threads: int | None = setting(None, at_least=1, may_change=True)
    # Whether oneDNN computes float32 products on CPUs if it is faster (compat/onednn.py).
    onednn: bool = setting(True, may_change=True)
    # Such as cuda:1; null: the student's device.
    teacher_device: str | None = setting(None, may_change=True)
    # The teacher is in host memory except during its forward passes.
    teacher_offload: bool = setting(False, may_change=True)
    # Seconds that a process waits for the others before the run ends.
    timeout: int = setting(1800, at_least=1, may_change=True)
    # The processes share the teacher's weights; each gathers all of them for its forward passes.
    shard_teacher: bool = setting(False, may_change=True)
    trackers: list[str] = setting(
        ["tensorboard"], choices=("tensorboard", "wandb"), may_change=True
    )
    project: str = setting("minillm", may_change=True)

    @property
    def uses_flash_attention(self) -> bool:
        """Whether attention is computed by FlashAttention, which needs half precision and a GPU."""
        return "flash" in (self.attn_implementation or "")


@dataclass
class Config:
    """All settings of one command."""

    student: StudentConfig = setting(StudentConfig())
    teacher: TeacherConfig = setting(TeacherConfig())
    data: DataConfig = setting(DataConfig())
    method: Any = MISSING  # one of METHOD_CONFIGS
    training: TrainingConfig = setting(TrainingConfig())
    evaluation: EvaluationConfig = setting(EvaluationConfig(), may_change=True)
    runtime: RuntimeConfig = setting(RuntimeConfig())
    output: str = setting("runs/unnamed", may_change=True)
    overwrite: bool = setting(False, may_change=True)
    # Check and print everything that `train` or `evaluate` would do, and write nothing.
    dry_run: bool = setting(False, may_change=True)
    # auto: continue from the newest complete checkpoint of `output`, or start a new run if there is
    # none. Or the folder of a checkpoint.
    resume: str | None = setting(None, may_change=True)


# The schemas that a file of configs/method can use, as `schema_NAME`.
METHOD_CONFIGS = {"token_loss": TokenLossConfig, "minillm": MiniLLMConfig}
