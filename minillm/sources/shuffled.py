"""Indices of examples in random order. The order does not depend on the number of processes."""

from collections.abc import Iterator
from typing import Any

import torch


class Shuffled:
    """Endless global batches of indices, shuffled in each epoch. A process gets its part of each.

    A batch may contain examples of two epochs, so all batches have the same size. The state is the
    same on all processes, so another number of processes can continue with the same global batches.

    Attributes:
        numbers: one number per index in the last batch of this process: the position of the
            example among all examples drawn so far. It does not depend on the number of processes.
    """

    def __init__(self, count: int, batch_size: int, *, seed: int, rank: int, world: int) -> None:
        self.count = count
        self.batch_size = batch_size
        self.generator = torch.Generator().manual_seed(seed)
        self.queue: list[int] = []
        self.part = slice(rank, None, world)
        self.batches = 0
        self.numbers: list[int] = []

    def __iter__(self) -> Iterator[list[int]]:
        return self

    def __next__(self) -> list[int]:
        while len(self.queue) < self.batch_size:
            self.queue += torch.randperm(self.count, generator=self.generator).tolist()
        batch, self.queue = self.queue[: self.batch_size], self.queue[self.batch_size :]
        first = self.batches * self.batch_size
        self.numbers = list(range(first, first + self.batch_size))[self.part]
        self.batches += 1
        return batch[self.part]

    def state_dict(self) -> dict[str, Any]:
        return {
            "generator": self.generator.get_state(),
            "queue": self.queue,
            "batches": self.batches,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])
        self.queue = state["queue"]
        self.batches = state["batches"]
