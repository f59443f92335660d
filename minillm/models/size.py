"""The number of parameters of a model, without its weights."""

import torch
from transformers import AutoModelForCausalLM

from minillm.config import ModelConfig
from minillm.models.language_model import built_shape
from minillm.models.loadable import load_shape, not_loadable


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
        shape = load_shape(config.path)
    else:
        shape = built_shape(config, max_length)
        shape.vocab_size = config.vocab_size
    try:
        with torch.device("meta"):  # tensors without memory
            module = AutoModelForCausalLM.from_config(shape)
    except Exception as error:  # of many types, see `load_model`
        raise not_loadable(config.path, error) from error
    return sum(parameter.numel() for parameter in module.parameters())
