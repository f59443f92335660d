"""How long the sequences of a model may be, and how many columns its batches may have."""

import math
from collections.abc import Iterator

from transformers import PretrainedConfig

from minillm.errors import InputError


def column_limit(config: PretrainedConfig) -> float:
    """Maximum number of columns of a batch, including padding.

    Most models only count positions, and have no such limit.
    """
    config = config.get_text_config()
    if config.model_type == "gpt_neo":  # has a table of this size for the attention mask
        return config.max_position_embeddings
    if getattr(config, "attn_temperature_tuning", False):  # Llama 4 scales later columns
        return config.floor_scale - 1
    return math.inf


def length_limit(config: PretrainedConfig) -> float:
    """Maximum number of tokens of a sequence that the model reads rightly."""
    return min(_limits(config))[0]


def check_length(config: PretrainedConfig, name: str, length: int) -> None:
    """Check that a model reads sequences of `length` tokens rightly.

    Raises:
        InputError: the model has fewer positions, or a longer sequence changes how the other
            sequences of its batch are read.
    """
    limit, reason = min(_limits(config))
    if limit < length:
        raise InputError(
            f"the model {name!r} {reason}, but the longest sequence has {length} tokens. Lower "
            f"data.max_prompt_length, data.max_teacher_prompt_length, data.max_response_length or "
            f"method.lm_length."
        )


def _limits(config: PretrainedConfig) -> Iterator[tuple[float, str]]:
    """Maximum lengths of a sequence, each with the reason."""
    columns, config = column_limit(config), config.get_text_config()
    yield columns, f"counts padding as tokens in sequences of more than {columns} tokens"
    positions = getattr(config, "max_position_embeddings", None)
    if positions and positions > 0:  # -1: no limit (XLNet)
        yield positions, f"has {positions} positions"
    rope = getattr(config, "rope_parameters", None) or {}
    for parameters in (rope, *rope.values()):  # one for all layers, or one per type of layer
        if isinstance(parameters, dict) and parameters.get("rope_type") == "longrope":
            original = parameters["original_max_position_embeddings"]
            yield original, f"reads a batch in another way if a sequence has over {original} tokens"
