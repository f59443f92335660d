"""Models without weights: their tensors have shapes, and no memory."""

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from minillm.adapter_paths import adapter_base
from minillm.config import ModelConfig
from minillm.models.adapters import load_adapter
from minillm.models.language_model import (
    LanguageModel,
    build_model,
    built_shape,
    bundle,
    loaded_shape,
)
from minillm.models.loadable import not_loadable


def outline(
    config: ModelConfig,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    attn_implementation: str | None = None,
) -> LanguageModel:
    """The model that `config` loads or builds, on the meta device. No weights are read.

    Args:
        config: names a path or an architecture.
        tokenizer: of the model.
        max_length: tokens of the longest sequence, for a built model.
        attn_implementation: as `runtime.attn_implementation`.

    Raises:
        InputError: the path is not a causal language model, has fewer output rows than the
            tokenizer has tokens, or cannot use the attention implementation.
    """
    if config.path is None:
        with torch.device("meta"):
            return build_model(config, tokenizer, max_length, 0, attn_implementation)
    shape = loaded_shape(config, attn_implementation)
    if config.dtype != "auto":
        shape.dtype = getattr(torch, config.dtype)
    module = _on_meta(shape, config.path, attn_implementation)
    if adapter_base(config.path) is not None:
        load_adapter(module, config.path)
    return bundle(module, tokenizer)


def count_parameters(config: ModelConfig, max_length: int) -> int:
    """Number of parameters of a model that `config` loads or builds; tied weights count once.

    Args:
        config: names a path or an architecture. The tokenizer of a built model is not known yet, so
            `vocab_size` is used.
        max_length: tokens of the longest sequence, for a built model.

    Raises:
        InputError: the path is not a causal language model.
    """
    if config.path is not None:
        shape = loaded_shape(config, None)
    else:
        shape = built_shape(config, max_length)
        shape.vocab_size = config.vocab_size
    return sum(weight.numel() for weight in _on_meta(shape, config.path).parameters())


def bytes_of(module: nn.Module, is_trained: bool | None = None) -> int:
    """Bytes of the parameters of a module; tied weights count once.

    Args:
        module: the module.
        is_trained: whether trained or frozen parameters are counted; None for both.
    """
    weights = [x for x in module.parameters() if is_trained in (None, x.requires_grad)]
    return sum(weight.numel() * weight.element_size() for weight in weights)


def _on_meta(
    shape: PretrainedConfig, path: str | None, attn_implementation: str | None = None
) -> PreTrainedModel:
    """A model on the meta device, with the dtype of the config `shape`."""
    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(shape, attn_implementation=attn_implementation)
    except Exception as error:  # of many types, see `load_model`
        raise not_loadable(path, error) from error
