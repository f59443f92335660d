"""The order of examples: one permutation after another, from a state of constant size."""

import pickle
from itertools import islice

import pytest
import torch

from minillm.sources.shuffled import Shuffled


@pytest.mark.parametrize(("count", "batch_size"), [(10, 4), (8, 4), (3, 7), (1, 1)])
def test_batches_are_the_permutations_in_order(count, batch_size):
    generator = torch.Generator().manual_seed(5)
    orders = [torch.randperm(count, generator=generator).tolist() for _ in range(40)]
    expected = [i for order in orders for i in order][: 5 * batch_size]
    batches = islice(Shuffled(count, batch_size, seed=5, rank=0, world=1), 5)
    assert [i for batch in batches for i in batch] == expected


@pytest.mark.parametrize("done", range(6))
def test_a_state_continues_with_the_same_global_batches_on_two_processes(done):
    def source(rank=0, world=1):
        return Shuffled(6, 4, seed=1, rank=rank, world=world)

    whole, stopped = source(), source()
    for _ in range(done):
        next(stopped)
    state = stopped.state_dict()
    parts = [source(rank, 2) for rank in range(2)]
    for part in parts:
        part.load_state_dict(state)
    expected = list(islice(whole, done + 5))[done:]
    for batch in expected:
        mine, other = (next(part) for part in parts)
        assert [mine[0], other[0], mine[1], other[1]] == batch
        assert parts[0].numbers[0] + 1 == parts[1].numbers[0]


def test_the_state_does_not_grow_with_the_number_of_examples():
    sizes = []
    for count in (10, 100_000):
        source = Shuffled(count, 2, seed=1, rank=0, world=1)
        next(source)
        sizes.append(len(pickle.dumps(source.state_dict())))
    assert sizes[0] == sizes[1]
