"""Indices of examples in random order. The order does not depend on the number of processes."""

from collections.abc import Iterator
from typing import Any

import torch


class Shuffled:
    """Endless global batches of indices, shuffled in each epoch. A process gets its part of each.

    A batch may contain examples of two epochs, so all batches have the same size. The state is the
    same on all processes, so another number of processes can continue with the same global batches.
    The order of an epoch is not in the state, which has the same size for any number of examples:
    the order is drawn again.

    Attributes:
        numbers: one number per index in the last batch of this process: the position of the
            example among all examples drawn so far. It does not depend on the number of processes.
    """

    def __init__(self, count: int, batch_size: int, *, seed: int, rank: int, world: int) -> None:
        self.count = count
        self.batch_size = batch_size
        self.generator = torch.Generator().manual_seed(seed)
        self.part = slice(rank, None, world)
        self.batches = 0
        self.numbers: list[int] = []
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self.generator_before = self.generator.get_state()
        self.order = torch.randperm(self.count, generator=self.generator)
        self.used = 0  # indices of `order` that are in batches

    def __iter__(self) -> Iterator[list[int]]:
        return self

    def __next__(self) -> list[int]:
        batch: list[int] = []
        while len(batch) < self.batch_size:
            if self.used == self.count:
                self._begin_epoch()
            missing = self.batch_size - len(batch)
            added = self.order[self.used : self.used + missing].tolist()
            self.used += len(added)
            batch += added
        first = self.batches * self.batch_size
        self.numbers = list(range(first, first + self.batch_size))[self.part]
        self.batches += 1
        return batch[self.part]

    def state_dict(self) -> dict[str, Any]:
        return {
            "generator": self.generator_before,
            "used": self.used,
            "batches": self.batches,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])
        self._begin_epoch()
        self.used = state["used"]
        self.batches = state["batches"]
