"""The number of parameters of a model, without its weights."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from minillm.config import ModelConfig
from minillm.errors import InputError, first_line
from minillm.models.language_model import built_shape


def count_parameters(config: ModelConfig, max_length: int) -> int:
    """Number of parameters of a model that `config` loads or builds; tied weights count once.

    Args:
        config: names a path or an architecture. The tokenizer of a built model is not known yet, so
            `vocab_size` is used.
        max_length: tokens of the longest sequence, for a built model.

    Raises:
        InputError: the path is not a causal language model.
    """
    try:
        if config.path is not None:
            shape = AutoConfig.from_pretrained(config.path)
        else:
            shape = built_shape(config, max_length)
            shape.vocab_size = config.vocab_size
        with torch.device("meta"):  # tensors without memory
            module = AutoModelForCausalLM.from_config(shape)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no causal language model could be loaded from {config.path}: {first_line(error)}. "
            f"Give a folder in Hugging Face format (config.json and model.safetensors), or a Hub "
            f"name."
        ) from error
    return sum(parameter.numel() for parameter in module.parameters())
