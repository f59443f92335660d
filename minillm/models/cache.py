"""Key-value caches whose rows can be kept, dropped and joined during decoding.

The tokens of a row are in adjacent columns, and the next token goes to the last column. A row that
joins is therefore padded on the left. Positions count real tokens only, and attention ignores
masked columns, so that the columns of a row do not change its predictions.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional
from transformers import Cache, DynamicCache, PretrainedConfig, cache_utils
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from minillm.errors import InputError

# A layer without keys and values of its own: Gemma 3n's last layers read those of earlier layers.
# Older versions of transformers leave such layers out of the cache.
EMPTY = getattr(cache_utils, "DummyLayer", ())

ROOM = 64  # free columns of a new copy, so that a full cache is not copied for every token


class GrowingLayer(DynamicLayer):
    """Keys and values `[B, heads, L, d]`, as views of `buffers` with free columns."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args, **kwargs
    ) -> tuple[Tensor, Tensor]:
        """Append columns and return all keys and values, as `DynamicLayer` does."""
        length = self.get_seq_length()
        total = length + key_states.shape[2]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.hold(key_states, value_states)
        else:
            if total > self.buffers[0].shape[2]:
                self.hold(self.keys, self.values, total - length)
            for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
                buffer[:, :, length:total] = states
        self.keys, self.values = (buffer[:, :, :total] for buffer in self.buffers)
        return self.keys, self.values

    def hold(self, keys: Tensor, values: Tensor, new_columns: int = 0) -> None:
        """Replace the content by `keys` and `values`, with `new_columns` + ROOM free columns."""
        self.buffers = [functional.pad(x, (0, 0, 0, new_columns + ROOM)) for x in (keys, values)]
        self.keys, self.values = (buffer[:, :, : keys.shape[2]] for buffer in self.buffers)


def growing_cache(config: PretrainedConfig) -> Cache:
    """An empty cache for a model with this config.

    Layers with a sliding window keep all columns too, because the model's mask excludes the columns
    outside of the window.

    Raises:
        InputError: the cache of the model has more than keys and values. The state of a recurrent
            layer, for example, cannot mask padding.
    """
    cache = DynamicCache(config=config)
    cache.layers = [_growing(layer, config.model_type) for layer in cache.layers]
    return cache


def _growing(layer: object, model_type: str) -> object:
    """The layer of a growing cache in place of a layer of transformers."""
    if isinstance(layer, EMPTY):
        return layer
    if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer):
        is_recurrent = hasattr(layer, "recurrent_states")
        reason = "whose state cannot mask padding" if is_recurrent else "which holds further states"
        raise InputError(
            f"models of type {model_type!r} cannot be sampled from: their cache has a "
            f"{type(layer).__name__}, {reason}. Use a model whose cache has keys and values only."
        )
    return GrowingLayer()


def _filled(cache: Cache) -> Iterator[GrowingLayer]:
    """The layers with keys and values."""
    return (layer for layer in cache.layers if isinstance(layer, GrowingLayer))


def keep_rows(cache: Cache, rows: Tensor, first_column: int) -> None:
    """Keep the rows with the indices `rows`, and drop the columns before `first_column`."""
    for layer in _filled(cache):
        layer.hold(layer.keys[rows, :, first_column:], layer.values[rows, :, first_column:])


def join(cache: Cache, others: Sequence[Cache]) -> None:
    """Append the rows of `others` to `cache`; shorter caches are padded on the left."""
    caches = [cache, *others]
    width = max(one.get_seq_length() for one in caches)
    for layers in zip(*map(_filled, caches), strict=True):
        pairs = [(layer.keys, layer.values) for layer in layers]
        layers[0].hold(
            *(
                torch.cat([functional.pad(x, (0, 0, width - x.shape[2], 0)) for x in parts])
                for parts in zip(*pairs, strict=True)
            )
        )
