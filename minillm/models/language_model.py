"""A causal language model with its tokenizer: loads a pretrained model or builds a new one."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace

import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from minillm.adapter_paths import adapter_base
from minillm.config import ModelConfig
from minillm.errors import InputError
from minillm.models import quantization
from minillm.models.adapters import load_adapter
from minillm.models.finite import fault_in_weights
from minillm.models.initial_weights import seeded
from minillm.models.loadable import ADVICE, check_attention, load_shape, not_loadable
from minillm.objectives.head import Head

# Equal to GPT-2's gelu_new, but one kernel: a training step of a small model on a CPU takes 20%
# less time, and fewer tensors are stored for backward.
FUSED_GELU = "gelu_pytorch_tanh"


@dataclass(frozen=True)
class LanguageModel:
    """A model with its tokenizer.

    Attributes:
        module: the model.
        tokenizer: its tokenizer.
        vocab_size: number of tokens of the tokenizer. A model may have more output rows than its
            tokenizer has tokens (padding for speed); logits past `vocab_size` are never used.
        eos_ids: ids of the tokens that end a response.
        head: copy of the output head on the student's device, for a teacher on another device.
        gather: context manager that makes all weights available, for a model whose weights are
            sharded or offloaded; see `whole`. Its argument is the dtype of the gathered weights if
            they are to be rounded to `rounding`, else None.
        autocast: dtype of autocast in all forward passes; None for the dtype of the weights.
        rounding: dtype to which sharded training rounds the weights for forward passes; None for
            no rounding.
        recomputes_layers: whether training computes activations again in backward, instead of
            storing them; see `models/recomputation.py`.
        saves_adapter_only: whether only the adapter is saved, without the merged model.
    """

    module: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    vocab_size: int
    eos_ids: tuple[int, ...]
    head: Head | None = None
    gather: Callable[[torch.dtype | None], AbstractContextManager[PreTrainedModel]] | None = None
    autocast: torch.dtype | None = None
    rounding: torch.dtype | None = None
    recomputes_layers: bool = False
    saves_adapter_only: bool = False

    @contextmanager
    def whole(self, *, rounded: bool = False) -> Iterator["LanguageModel"]:
        """A context with the complete weights, for forward passes and for saving.

        With `rounded`, the weights are those of the forward passes of training.

        If the weights are sharded (`training/sharding.py`), all processes must enter the context
        together; inside, each process may run any number of forward passes. If the model is
        offloaded (`models/placement.py`), the context moves its weights to the device.
        """
        if self.gather is None:
            yield self
            return
        with self.gather(self.rounding if rounded else None) as module:
            yield replace(self, module=module, gather=None)

    def precision(self) -> AbstractContextManager[object]:
        """A context with the precision of the model's forward passes.

        Sampling, scoring and training must have the same precision. Otherwise, the policy's ratio
        of new to old probabilities is not 1 before the first update.
        """
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.autocast)

    @property
    def pad_id(self) -> int:
        return self.tokenizer.pad_token_id

    @property
    def device(self) -> torch.device:
        return self.module.device

    @property
    def parameters(self) -> int:
        """Number of parameters; tied weights count once."""
        return sum(map(quantization.size_of, self.module.parameters()))

    @property
    def trained_parameters(self) -> int:
        """Number of parameters that are not frozen, such as those of an adapter."""
        return sum(x.numel() for x in self.module.parameters() if x.requires_grad)

    @property
    def description(self) -> str:
        """Short text for tables, such as `gpt2 64x2`."""
        config = self.module.config.get_text_config()
        return f"{self.module.config.model_type} {config.hidden_size}x{config.num_hidden_layers}"

    def to(self, device: torch.device) -> "LanguageModel":
        return replace(self, module=self.module.to(device))


def bundle(module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> LanguageModel:
    """Combine a model with its tokenizer.

    Raises:
        InputError: the tokenizer has more tokens than the model has output rows.
    """
    rows = module.get_output_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise InputError(
            f"the tokenizer has {len(tokenizer)} tokens, but the model {module.name_or_path!r} has "
            f"only {rows} output rows. Give the tokenizer of the model."
        )
    eos_ids = module.generation_config.eos_token_id
    eos_ids = [] if eos_ids is None else [eos_ids] if isinstance(eos_ids, int) else eos_ids
    eos_ids = tuple(dict.fromkeys([tokenizer.eos_token_id, *eos_ids]))
    return LanguageModel(module, tokenizer, len(tokenizer), eos_ids)


def load_model(
    config: ModelConfig,
    tokenizer: PreTrainedTokenizerBase,
    attn_implementation: str | None = None,
) -> LanguageModel:
    """Load the model of a folder or Hub name. An adapter is loaded into its base model.

    Raises:
        InputError: there is no such model, its folder does not contain all of its weights, it
            cannot use the attention implementation, or a package is missing.
    """
    base = adapter_base(config.path)
    if base is not None:
        base_config = replace(config, path=base, revision=None)
        model = load_model(base_config, tokenizer, attn_implementation)
        load_adapter(model.module, config.path)
        return model
    shape = loaded_shape(config, attn_implementation)
    arguments = quantization.loading_arguments() if config.load_in_4bit else {}
    try:
        module, report = AutoModelForCausalLM.from_pretrained(
            config.path, revision=config.revision or "main", config=shape,
            dtype=_dtype(config.dtype), output_loading_info=True,
            attn_implementation=attn_implementation, **arguments,
        )  # fmt: skip
    except Exception as error:  # of many types: a missing package, a config with other fields
        raise not_loadable(config.path, error, config.revision) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise InputError(
            f"{config.path} lacks {len(missing)} weights of its {type(module).__name__}, such as "
            f"{missing[0]}. {ADVICE}"
        )
    quantization.prepare_layers(module)
    return bundle(module, tokenizer)


def loaded_shape(config: ModelConfig, attn_implementation: str | None) -> PretrainedConfig:
    """The transformers config with which the model of `config.path` is loaded.

    Raises:
        InputError: there is no config.json, or the model cannot use the attention implementation.
    """
    shape = load_shape(config.path, config.revision)
    check_attention(shape, attn_implementation)
    if getattr(shape, "activation_function", None) == "gelu_new":
        shape.activation_function = FUSED_GELU
    return shape


def build_model(
    config: ModelConfig,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    seed: int,
    attn_implementation: str | None = None,
) -> LanguageModel:
    """Build a model with random weights and the sizes of `config`, for `max_length` tokens.

    Raises:
        InputError: the model cannot use the attention implementation.
    """
    shape = built_shape(config, max_length)
    check_attention(shape, attn_implementation)
    shape.vocab_size = len(tokenizer)
    shape.bos_token_id = shape.eos_token_id = tokenizer.eos_token_id
    shape.pad_token_id = tokenizer.pad_token_id
    with seeded(seed):
        module = AutoModelForCausalLM.from_config(
            shape, dtype=_dtype(config.dtype), attn_implementation=attn_implementation
        )
    return bundle(module, tokenizer)


def built_shape(config: ModelConfig, max_length: int) -> PretrainedConfig:
    """The transformers config of a built model for `max_length` tokens, without its vocabulary."""
    shapes = {"gpt2": _gpt2_shape, "llama": _llama_shape}
    return shapes[config.architecture](config, max_length)


def _gpt2_shape(config: ModelConfig, max_length: int) -> GPT2Config:
    return GPT2Config(
        n_embd=config.hidden_size,
        n_layer=config.layers,
        n_head=config.heads,
        n_positions=max_length,
        resid_pdrop=config.dropout,
        embd_pdrop=config.dropout,
        attn_pdrop=config.dropout,
        activation_function=FUSED_GELU,
    )


def _llama_shape(config: ModelConfig, max_length: int) -> LlamaConfig:
    return LlamaConfig(
        hidden_size=config.hidden_size,
        intermediate_size=-(-config.hidden_size * 8 // 3 // 32) * 32,  # the ratio of Llama
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        max_position_embeddings=max_length,
        attention_dropout=config.dropout,
        tie_word_embeddings=True,
    )


def _dtype(name: str) -> torch.dtype | str:
    return name if name == "auto" else getattr(torch, name)


def check_finite(model: LanguageModel) -> None:
    """Refuse a model whose weights are not finite numbers.

    Raises:
        InputError: the message names the model and the first such weight.
    """
    fault = fault_in_weights(model.module.named_parameters())
    if fault:
        raise InputError(
            f"{model.module.name_or_path}: {fault}. Use another checkpoint of the model."
        )
