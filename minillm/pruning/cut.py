"""Cuts layers, hidden units and attention heads out of a model.

The sizes are changed in the config. A model of the new config, without memory, has the shapes of
the new weights, so each weight is cut along the dimensions whose size has changed.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from minillm.errors import InputError, first_line
from minillm.models.layers import decoder_layers
from minillm.pruning.structure import (
    HeadSizes,
    attention_name,
    heads_output,
    units_name,
    units_of,
)

# Lists of a config that are not per layer, also if they have as many entries as there are layers.
NOT_PER_LAYER = ("architectures", "eos_token_id")


@dataclass(frozen=True)
class Kept:
    """What stays of a model.

    Attributes:
        layers: indices of the layers that stay, from 0, in order.
        units: for each of these layers, the indices of the hidden units that stay; None for all.
        heads: for each of these layers, the indices of the query heads and of the key-value heads
            that stay; None for all.
    """

    layers: Sequence[int]
    units: Sequence[Tensor] | None = None
    heads: Sequence[tuple[Tensor, Tensor]] | None = None


def pruned(
    module: PreTrainedModel, kept: Kept, attn_implementation: str | None = None
) -> PreTrainedModel:
    """A model of the layers, hidden units and heads that stay. Weights that are not cut are shared.

    Args:
        module: the original.
        kept: what stays.
        attn_implementation: as `runtime.attn_implementation`.

    Raises:
        InputError: models of this type cannot be pruned in this way.
    """
    options = {
        "dtype": module.dtype,
        "attn_implementation": attn_implementation,
        "experts_implementation": module.get_experts_implementation(),
    }
    try:
        config = pruned_config(module, kept)
        with torch.device("meta"):
            outline = AutoModelForCausalLM.from_config(config, **options)
    except InputError:
        raise
    except Exception as error:  # of many types: configs and models check their sizes
        raise not_prunable(module, first_line(error)) from error
    _check_sizes(module, outline, kept)
    weights = _cut_weights(module, outline, kept)
    result, report = type(module).from_pretrained(
        None, config=config, state_dict=weights, output_loading_info=True, **options
    )
    wrong = sorted([*report["missing_keys"], *report["unexpected_keys"]])
    if wrong:
        raise not_prunable(module, f"the smaller model has other weights, such as {wrong[0]}")
    result.generation_config = copy.deepcopy(module.generation_config)
    return result.to(module.device).eval()


def pruned_config(module: PreTrainedModel, kept: Kept) -> PretrainedConfig:
    """The config of the pruned model, as it is after saving and loading."""
    config = copy.deepcopy(module.config)
    text = config.get_text_config()
    if len(kept.layers) < len(decoder_layers(module)):
        _keep_layers(text, kept.layers, len(decoder_layers(module)))
    if kept.units:
        setattr(text, units_name(module), len(kept.units[0]))
    if kept.heads:
        heads, kv_heads = kept.heads[0]
        text.head_dim = HeadSizes.of(module).size
        text.num_attention_heads = len(heads)
        if hasattr(text, "num_key_value_heads"):
            text.num_key_value_heads = len(kv_heads)
    return type(config).from_dict(config.to_dict())


def _keep_layers(config: PretrainedConfig, layers: Sequence[int], count: int) -> None:
    """Keep some of `count` layers in the text part of a config."""
    if hasattr(config, "attention_types"):  # from which GPT-Neo computes its list per layer
        config.attention_types = [[[config.attention_layers[i]], 1] for i in layers]
    for name, value in list(vars(config).items()):
        if isinstance(value, list | tuple) and len(value) == count and name not in NOT_PER_LAYER:
            setattr(config, name, [value[i] for i in layers])
    config.num_hidden_layers = len(layers)


def _check_sizes(module: PreTrainedModel, outline: PreTrainedModel, kept: Kept) -> None:
    """Refuse a family whose models do not have the sizes of the new config."""
    if kept.units and units_of(outline) != len(kept.units[0]):
        raise not_prunable(module, "the number of hidden units does not depend on the config")
    if kept.heads:
        try:
            heads_output(outline, decoder_layers(outline)[0])
        except InputError as error:
            raise not_prunable(
                module,
                "the size of a head is the hidden size divided by the number of heads, so that "
                "fewer heads would be larger",
            ) from error


def _cut_weights(
    module: PreTrainedModel, outline: PreTrainedModel, kept: Kept
) -> dict[str, Tensor]:
    """The weights of the pruned model by name. `outline` has its shapes."""
    layers = decoder_layers(module)
    start = next(name for name, part in module.named_modules() if part is layers) + "."
    weights = {
        name: weight for name, weight in module.state_dict().items() if not name.startswith(start)
    }
    for number, (old, new) in enumerate(
        zip((layers[i] for i in kept.layers), decoder_layers(outline), strict=True)
    ):
        shapes = {name: weight.shape for name, weight in new.state_dict().items()}
        of_units, of_heads = _of_units(module, kept, number), _of_heads(module, kept, number)
        attention = f"{attention_name(old)}." if kept.heads else None
        for name, weight in old.state_dict().items():
            indices = of_heads if attention and name.startswith(attention) else of_units
            weights[f"{start}{number}.{name}"] = _cut(module, weight, shapes.get(name), indices)
    return weights


# The indices that stay along a dimension of a weight, by the size of this dimension.
Indices = Mapping[int, Tensor]


def _of_units(module: PreTrainedModel, kept: Kept, number: int) -> Indices:
    """The hidden units in the feed-forward part of the layer `number` of the pruned model."""
    if not kept.units:
        return {}
    count, units = units_of(module), kept.units[number]
    # One weight may hold the gates of all units, and then all units.
    return {count: units, 2 * count: torch.cat([units, units + count])}


def _of_heads(module: PreTrainedModel, kept: Kept, number: int) -> Indices:
    """The heads in the attention of the layer `number` of the pruned model."""
    if not kept.heads:
        return {}
    sizes, (heads, kv_heads) = HeadSizes.of(module), kept.heads[number]
    queries, keys = (_expanded(numbers, sizes.size) for numbers in (heads, kv_heads))
    query_size, key_size = sizes.heads * sizes.size, sizes.kv_heads * sizes.size
    return {
        sizes.kv_heads: kv_heads,
        sizes.heads: heads,
        # One weight may hold all queries, then all keys, then all values.
        query_size + 2 * key_size: torch.cat(
            [queries, query_size + keys, query_size + key_size + keys]
        ),
        key_size: keys,
        query_size: queries,
    }


def _expanded(heads: Tensor, size: int) -> Tensor:
    """The indices `[H * size]` of the numbers of some heads `[H]`."""
    return (heads[:, None] * size + torch.arange(size)).flatten()


def _cut(
    module: PreTrainedModel, weight: Tensor, shape: torch.Size | None, indices: Indices
) -> Tensor:
    """A weight, cut along the dimensions whose size is another one in `shape`."""
    for dimension, size in enumerate(shape or ()):
        old_size = weight.shape[dimension]
        if size != old_size:
            chosen = indices.get(old_size)
            if chosen is None or len(chosen) != size:
                raise not_prunable(module, f"a weight has {old_size} rows or columns that are not "
                                   f"one per unit or head")  # fmt: skip
            weight = weight.index_select(dimension, chosen.to(weight.device))
    return weight


def not_prunable(module: PreTrainedModel, reason: str) -> InputError:
    """The error for a model that cannot be pruned as the user wishes."""
    return InputError(
        f"{type(module).__name__} cannot be pruned in this way: {reason}. Prune another part of "
        f"it (layers, ffn or heads), or use another model."
    )
