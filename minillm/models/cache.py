"""Key-value caches whose rows come and go while they are read: kept, dropped, joined.

A row's tokens are next to each other and the next one goes to the last column, so a row that joins
is padded on the left. Positions count real tokens, and masked columns take no part in attention:
where a row sits in the cache changes nothing of what it says.
"""

import torch
from torch import Tensor
from torch.nn import functional
from transformers import Cache, DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from minillm.errors import InputError

ROOM = 64  # columns; a cache that is full is copied once for so many tokens, not for each


class GrowingLayer(DynamicLayer):
    """Keys and values `[B, heads, L, d]`, views into memory with room for more columns."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args, **kwargs
    ) -> tuple[Tensor, Tensor]:
        """Add columns; all keys and values, as `DynamicLayer` returns them."""
        length = self.get_seq_length()
        total = length + key_states.shape[2]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.hold(key_states, value_states)
        else:
            if total > self.rooms[0].shape[2]:
                self.hold(self.keys, self.values, total - length)
            for room, new in zip(self.rooms, (key_states, value_states), strict=True):
                room[:, :, length:total] = new
        self.keys, self.values = (room[:, :, :total] for room in self.rooms)
        return self.keys, self.values

    def hold(self, keys: Tensor, values: Tensor, more: int = 0) -> None:
        """Take these in place of all before, with room for `more` columns and then some."""
        self.rooms = [functional.pad(x, (0, 0, 0, more + ROOM)) for x in (keys, values)]
        self.keys, self.values = (room[:, :, : keys.shape[2]] for room in self.rooms)


def growing_cache(config: PretrainedConfig) -> Cache:
    """An empty cache for a model of this config.

    Layers with a sliding window keep all columns too: the model's mask is what makes the window.

    Raises:
        InputError: the model keeps something else than keys and values, such as the state of a
            recurrent layer, from which padding cannot be masked.
    """
    cache = DynamicCache(config=config)
    for layer in cache.layers:
        if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer):
            raise InputError(
                f"models of type {config.model_type!r} cannot be sampled from: their cache has a "
                f"{type(layer).__name__}, which cannot mask padding. Use a model whose layers are "
                f"all attention."
            )
    cache.layers = [GrowingLayer() for _ in cache.layers]
    return cache


def keep_rows(cache: Cache, rows: Tensor, first: int) -> None:
    """Keep these rows (indices), from column `first` on."""
    for layer in cache.layers:
        layer.hold(layer.keys[rows, :, first:], layer.values[rows, :, first:])


def join(cache: Cache, other: Cache) -> None:
    """Add the rows of `other` behind those of `cache`, the shorter one padded on the left."""
    width = max(cache.get_seq_length(), other.get_seq_length())
    for layer, new in zip(cache.layers, other.layers, strict=True):
        layer.hold(
            *(
                torch.cat([functional.pad(x, (0, 0, width - x.shape[2], 0)) for x in pair])
                for pair in ((layer.keys, new.keys), (layer.values, new.values))
            )
        )
