"""The parts of a decoder layer that pruning cuts, and their sizes.

The parts are found by the structure of stock models, not by the names of each family. `check.py`
would notice a wrong part.
"""

from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from minillm.errors import InputError, first_line
from minillm.models.layers import decoder_layers

# The names by which configs give the number of hidden units of a feed-forward part.
UNITS_NAMES = ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size")


@dataclass(frozen=True)
class HeadSizes:
    """The attention heads of each layer.

    Attributes:
        heads: H, the number of query heads.
        kv_heads: K, the number of key-value heads. H / K query heads share one of them.
        size: numbers per head.
    """

    heads: int
    kv_heads: int
    size: int

    @staticmethod
    def of(module: PreTrainedModel) -> "HeadSizes":
        """The heads of a model.

        Raises:
            InputError: the config does not give them, or the layers differ.
        """
        config = module.config.get_text_config()
        try:
            heads = config.num_attention_heads
            size = getattr(config, "head_dim", None) or config.hidden_size // heads
            return HeadSizes(heads, getattr(config, "num_key_value_heads", None) or heads, size)
        except Exception as error:  # Gemma 4 has an error of its own for layers that differ
            raise InputError(
                f"the heads of {type(module).__name__} cannot be pruned: {first_line(error)}. "
                f"Prune layers or hidden units instead."
            ) from error


def attention_name(layer: nn.Module) -> str:
    """The name of the attention in a decoder layer, such as `self_attn`.

    Raises:
        InputError: the layer has no part whose class is named so.
    """
    for name, part in layer.named_children():
        if "Attention" in type(part).__name__:
            return name
    raise InputError(
        f"{type(layer).__name__} has no attention, so its width cannot be pruned. Prune layers "
        f"instead."
    )


def heads_output(module: PreTrainedModel, layer: nn.Module) -> nn.Module:
    """The linear map that reads the outputs of all query heads of a layer, one after the other.

    Raises:
        InputError: no linear map of the layer does.
    """
    sizes = HeadSizes.of(module)
    attention = layer.get_submodule(attention_name(layer))
    maps = _maps_to_hidden(module, attention, sizes.heads * sizes.size)
    if not maps:
        raise InputError(
            f"the heads of {type(module).__name__} cannot be pruned: no linear map reads "
            f"{sizes.heads} heads of size {sizes.size}. Prune layers or hidden units instead."
        )
    return maps[-1]


def units_output(module: PreTrainedModel, layer: nn.Module) -> nn.Module:
    """The linear map that reads the hidden units of the feed-forward part of a layer.

    Raises:
        InputError: no linear map of the layer does, as in a mixture of experts.
    """
    stated = getattr(module.config.get_text_config(), units_name(module))
    of_attention = {*layer.get_submodule(attention_name(layer)).modules()}
    maps = [x for x in _maps_to_hidden(module, layer, stated) if x not in of_attention]
    if not maps:
        raise InputError(
            f"the hidden units of {type(module).__name__} cannot be pruned: no linear map of a "
            f"layer reads {stated or 'them'} (as in a mixture of experts). Prune layers or heads "
            f"instead."
        )
    return maps[-1]


def units_name(module: PreTrainedModel) -> str:
    """The setting of the text part of the config with the number of hidden units.

    Raises:
        InputError: there is none.
    """
    config = module.config.get_text_config()
    for name in UNITS_NAMES:
        if hasattr(config, name):
            return name
    raise InputError(
        f"the hidden units of {type(module).__name__} cannot be pruned: its config has no setting "
        f"for their number ({', '.join(UNITS_NAMES)}). Prune layers or heads instead."
    )


def units_of(module: PreTrainedModel) -> int:
    """The number of hidden units of the feed-forward part of each layer.

    Raises:
        InputError: the layers differ in this number, or have no such part.
    """
    numbers = {inputs_of(units_output(module, layer)) for layer in decoder_layers(module)}
    if len(numbers) > 1:
        raise InputError(
            f"the hidden units of {type(module).__name__} cannot be pruned: its layers have "
            f"{' or '.join(map(str, sorted(numbers)))} of them. Prune layers or heads instead."
        )
    return numbers.pop()


def inputs_of(linear: nn.Module) -> int:
    """The number of inputs of a linear map."""
    return _shape(linear)[1]


def _maps_to_hidden(
    module: PreTrainedModel, part: nn.Module, inputs: int | None
) -> list[nn.Module]:
    """The linear maps of a part to the hidden size, in the order of definition.

    The last of them returns to the residual stream. `inputs` None means any number of inputs.
    """
    hidden = module.config.get_text_config().hidden_size
    return [
        each
        for each in part.modules()
        if isinstance(each, nn.Linear | Conv1D)
        and _shape(each)[0] == hidden
        and inputs in (None, inputs_of(each))
    ]


def _shape(linear: nn.Module) -> tuple[int, int]:
    """The numbers of outputs and inputs. The weight of GPT-2's `Conv1D` is transposed."""
    shape = tuple(linear.weight.shape)
    return shape[::-1] if isinstance(linear, Conv1D) else shape
