"""Which layers, hidden units and attention heads stay, by the settings of `PruningConfig`."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from minillm.config import PruningConfig
from minillm.data.batches import SequenceBatch
from minillm.errors import InputError
from minillm.models.language_model import LanguageModel
from minillm.models.layers import decoder_layers, layer_number
from minillm.pruning.cut import Kept
from minillm.pruning.measure import angles, head_norms, unit_norms
from minillm.pruning.structure import HeadSizes, units_of


def choose(model: LanguageModel, settings: PruningConfig, batches: Sequence[SequenceBatch]) -> Kept:
    """The parts that stay. Everything is measured on the whole model.

    Args:
        model: the model to prune.
        settings: numbers that `check_numbers` allows.
        batches: text for the measures; not read if the choice does not depend on data.
    """
    module = model.module
    layers = _layers(model, settings, batches)
    units = heads = None
    if settings.ffn:
        norms = unit_norms(model, batches)
        units = [torch.tensor(largest(norms[i], settings.ffn)) for i in layers]
    if settings.heads or settings.kv_heads:
        sizes = HeadSizes.of(module)
        norms, counts = head_norms(model, batches), head_counts(sizes, settings)
        heads = [largest_heads(norms[i], sizes.kv_heads, *counts) for i in layers]
    return Kept(layers, units, heads)


def _layers(
    model: LanguageModel, settings: PruningConfig, batches: Sequence[SequenceBatch]
) -> list[int]:
    count = len(decoder_layers(model.module))
    if settings.keep:
        return sorted(layer_number(model.module, layer) - 1 for layer in settings.keep)
    stay = settings.layers or count
    if stay == count or settings.by == "even":
        return even_layers(count, stay)
    if settings.by == "angle":
        return largest(angles(model, batches, 1), stay)
    return layers_without_block(angles(model, batches, count - stay), count)


def check_numbers(module: PreTrainedModel, settings: PruningConfig) -> None:
    """Refuse numbers that the model does not have, and settings that keep the whole model.

    Args:
        module: the model; its weights are not read.
        settings: what stays.

    Raises:
        InputError: the message names the setting, its value and the allowed values.
    """
    count = len(decoder_layers(module))
    _check_at_most("layers", settings.layers, count, "layers")
    numbers = [layer_number(module, layer, "keep: ") for layer in settings.keep or ()]
    repeated = sorted({number for number in numbers if numbers.count(number) > 1})
    if repeated:
        raise InputError(f"keep names layer {repeated[0]} twice. Name each layer once.")
    if settings.ffn:
        _check_at_most("ffn", settings.ffn, units_of(module), "hidden units per layer")
    if settings.heads or settings.kv_heads:
        sizes = HeadSizes.of(module)
        _check_at_most("heads", settings.heads, sizes.heads, "query heads")
        _check_at_most("kv_heads", settings.kv_heads, sizes.kv_heads, "key-value heads")
        _check_groups(sizes, *head_counts(sizes, settings))
    if _keeps_everything(module, settings):
        raise InputError(
            f"nothing would be pruned: the settings keep all {count} layers, hidden units and "
            f"heads of the model. Give a smaller number."
        )


def _keeps_everything(module: PreTrainedModel, settings: PruningConfig) -> bool:
    """Whether no part of the model is dropped. The numbers are not too large."""
    count = len(decoder_layers(module))
    keeps = [(len(settings.keep) if settings.keep else settings.layers or count) == count]
    if settings.ffn:
        keeps.append(settings.ffn == units_of(module))
    if settings.heads or settings.kv_heads:
        sizes = HeadSizes.of(module)
        keeps.append(head_counts(sizes, settings) == (sizes.heads, sizes.kv_heads))
    return all(keeps)


def _check_at_most(key: str, value: int | None, count: int, what: str) -> None:
    if value is not None and value > count:
        raise InputError(
            f"{key}={value} is not allowed: the model has {count} {what}. Give at most {count}."
        )


def _check_groups(sizes: HeadSizes, heads: int, kv_heads: int) -> None:
    """Refuse numbers of heads that cannot be divided among the key-value heads."""
    group = sizes.heads // sizes.kv_heads
    allowed = [kv_heads * number for number in range(1, group + 1)]
    if heads not in allowed:
        raise InputError(
            f"heads={heads} cannot be divided among kv_heads={kv_heads}, each of which 1 to "
            f"{group} query heads can share. Set heads={' or '.join(map(str, allowed))}, or "
            f"another kv_heads."
        )


def head_counts(sizes: HeadSizes, settings: PruningConfig) -> tuple[int, int]:
    """The numbers of query heads and of key-value heads that stay in each layer."""
    has_groups = sizes.kv_heads < sizes.heads
    kv_heads = settings.kv_heads or (sizes.kv_heads if has_groups else settings.heads)
    return settings.heads or kv_heads * sizes.heads // sizes.kv_heads, kv_heads


def even_layers(count: int, stay: int) -> list[int]:
    """`stay` of `count` layers, evenly spaced from the first to the last; the first if one stays.

    Sanh et al. (arXiv 1910.01108, section 3) keep one layer out of two.
    """
    if stay == 1:
        return [0]
    return [(2 * i * (count - 1) + stay - 1) // (2 * (stay - 1)) for i in range(stay)]


def layers_without_block(angles: Tensor, count: int) -> list[int]:
    """All layers but the adjacent ones that together turn the hidden states least.

    Source: Gromov et al., arXiv 2403.17887, section 3.2.

    Args:
        angles: `[count - n + 1]`, from `measure.angles` with a span of the n layers to drop.
        count: number of all layers.
    """
    dropped = count + 1 - len(angles)
    first = int(angles.argmin())
    return [i for i in range(count) if not first <= i < first + dropped]


def largest_heads(
    importance: Tensor, kv_heads: int, stay: int, stay_kv: int
) -> tuple[Tensor, Tensor]:
    """The query heads `[stay]` and the key-value heads `[stay_kv]` with the most importance.

    All groups of query heads that share a key-value head keep the same number of query heads, which
    stock models need. With `stay_kv` equal to `kv_heads`, all groups stay, as in Minitron.

    Args:
        importance: of the query heads, `[H]`.
        kv_heads: number of key-value heads.
        stay: number of query heads that stay, a multiple of `stay_kv`.
        stay_kv: number of key-value heads that stay.
    """
    groups = importance.view(kv_heads, -1)
    best = groups.sort(descending=True, stable=True, dim=-1)
    per_group = stay // stay_kv
    kept_groups = largest(best.values[:, :per_group].sum(-1), stay_kv)
    heads = [
        group * groups.shape[1] + int(head)
        for group in kept_groups
        for head in best.indices[group, :per_group].sort().values
    ]
    return torch.tensor(heads), torch.tensor(kept_groups)


def largest(values: Tensor, count: int) -> list[int]:
    """The indices of the largest values, in order. Of equal values, the first is taken."""
    order = values.sort(descending=True, stable=True).indices
    return sorted(order[:count].tolist())
