"""The source of sequences that are already there: shuffled (prompt, response) pairs."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from minillm.data.batches import SequenceBatch
from minillm.data.encoding import Example
from minillm.training.method import MicroBatch, StepBatch

Pair = tuple[list[int], list[int]]  # ids of a prompt and of a response


def pairs_of(examples: Sequence[Example]) -> list[Pair]:
    """Every prompt with each of its responses."""
    return [(example.prompt_ids, ids) for example in examples for ids in example.response_ids]


class Shuffled:
    """Indices of this process's part of each global batch, without end, shuffled each epoch.

    Batches run over the ends of epochs, so all have the same size. The state is the same on all
    processes: another number of them goes on with the same global batches.
    """

    def __init__(self, count: int, batch_size: int, seed: int, rank: int, world: int) -> None:
        self.count = count
        self.batch_size = batch_size
        self.generator = torch.Generator().manual_seed(seed)
        self.queue: list[int] = []
        self.part = slice(rank, None, world)

    def __iter__(self) -> Iterator[list[int]]:
        return self

    def __next__(self) -> list[int]:
        while len(self.queue) < self.batch_size:
            self.queue += torch.randperm(self.count, generator=self.generator).tolist()
        batch, self.queue = self.queue[: self.batch_size], self.queue[self.batch_size :]
        return batch[self.part]

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state(), "queue": self.queue}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])
        self.queue = state["queue"]


def split(items: Sequence, size: int | None) -> list[Sequence]:
    """Consecutive parts of at most `size`; one part where `size` is None."""
    size = size or max(len(items), 1)
    return [items[start : start + size] for start in range(0, len(items), size)]


class PairSource:
    """Step batches of pairs, for every method that trains on given sequences."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        pad_id: int,
        batch_size: int,
        micro_batch_size: int | None,
        seed: int,
        rank: int,
        world: int,
    ) -> None:
        self.pairs = pairs
        self.pad_id = pad_id
        self.micro_batch_size = micro_batch_size
        self.indices = Shuffled(len(pairs), batch_size, seed, rank, world)

    def __iter__(self) -> Iterator[StepBatch]:
        for indices in self.indices:
            # By length, so that micro-batches carry little padding; the step's sum is the same.
            pairs = sorted((self.pairs[i] for i in indices), key=lambda pair: len(pair[1]))
            parts = split(pairs, self.micro_batch_size)
            yield StepBatch([self._micro_batch(part) for part in parts])

    def state_dict(self) -> dict[str, Any]:
        return self.indices.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.indices.load_state_dict(state)

    def _micro_batch(self, pairs: Sequence[Pair]) -> MicroBatch:
        batch = SequenceBatch.pad(pairs, self.pad_id)
        return MicroBatch(batch, {"tokens": batch.tokens})
