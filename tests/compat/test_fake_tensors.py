"""Allocations counts the bytes of tensors, and is the same for tensors without memory."""

from contextlib import nullcontext

import torch

from minillm.compat.fake_tensors import Allocations, fake_tensors


def counts(mode) -> list[int]:
    """`live` after each line, and the peak."""
    with mode:
        weight = torch.ones(10, 10, requires_grad=True)
        with Allocations() as allocations:
            numbers = []
            view = weight[:5]  # no memory of its own
            numbers.append(allocations.live)
            squares = view.exp().square()  # backward needs the 50 exponentials
            numbers.append(allocations.live)
            squares.sum().backward()  # adds the gradient
            numbers.append(allocations.live)
            del squares, view
            numbers.append(allocations.live)
    return [*numbers, allocations.peak]


def test_what_exists_and_the_largest_sum():
    *live, peak = counts(nullcontext())
    assert live == [0, 400, 600, 400]
    assert peak >= 800


def test_tensors_without_memory_count_as_others():
    assert counts(fake_tensors()) == counts(nullcontext())


def test_values_that_are_read_are_the_largest_possible():
    with fake_tensors():
        mask = torch.zeros(3, 4, dtype=torch.bool)
        with Allocations():
            assert mask.nonzero().shape == (12, 2) and bool(mask.all()) and int(mask.sum()) == 1
