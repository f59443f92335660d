"""The noise of gradients with a known mean and variance."""

import pytest
import torch

from studies.gradient_noise import noise


def test_the_noise_is_the_deviation_relative_to_the_length_of_the_mean():
    generator = torch.Generator().manual_seed(0)
    mean = torch.tensor([3.0, 0.0, -4.0])  # length 5
    samples = mean + 2 * torch.randn(20_000, 3, generator=generator)  # deviation 2 * sqrt(3)
    found = noise(iter(samples), len(samples))
    assert found["length"] == pytest.approx(5, rel=0.01)
    assert found["noise"] == pytest.approx(2 * 3**0.5 / 5, rel=0.01)


def test_gradients_without_a_common_direction_have_no_length():
    samples = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert noise(iter(samples), 2) == {"length": None, "noise": None}
