"""The returns of all steps at once are those of a sum over each pair of steps."""

import itertools

import pytest
import torch

from minillm.objectives.returns import returns


@pytest.mark.parametrize("length", [1, 2, 7, 33])
@pytest.mark.parametrize("gamma", [0.0, 0.9, 1.0])
def test_returns_are_sums_over_later_steps(length, gamma):
    generator = torch.Generator().manual_seed(length)
    rewards, later, noise = torch.randn(3, 3, length, dtype=torch.float64, generator=generator)
    for ratios, later_rewards, from_next in itertools.product(
        (None, noise.exp()), (None, later), (True, False)
    ):
        weights = torch.ones_like(rewards) if ratios is None else ratios
        expected = torch.zeros_like(rewards) if from_next else rewards.clone()
        for t in range(length):
            for k in range(t + 1, length):
                # The weight is w_k / w_t for a reward, and w_{k-1} / w_t for its mean.
                last = k + 1 if later_rewards is None else k
                reward = rewards[:, k] if later_rewards is None else later[:, k]
                expected[:, t] += gamma ** (k - t) * weights[:, t + 1 : last].prod(-1) * reward
        result = returns(rewards, gamma, from_next, ratios, later_rewards)
        torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)
