"""The check of the ratios of new to old probabilities before the first update."""

import pytest
import torch

from minillm.methods.policy_gradient import check_first_ratios, warn_of_ratios

TOKENS = 128


@pytest.mark.parametrize(
    ("shift", "noise", "warns"),
    [
        (0.0, 0.02, False),  # bfloat16 and a pretrained student: the mean of so few tokens varies
        (0.0, 0.1, True),
        (0.02, 0.02, True),
        (0.002, 0.0, True),
    ],
)
def test_a_ratio_is_judged_apart_from_chance(caplog, shift, noise, warns):
    generator = torch.Generator().manual_seed(1)
    log_ratios = shift + noise * torch.randn(4, TOKENS // 2, generator=generator)
    mask = torch.ones_like(log_ratios)
    mask[:2], log_ratios[:2] = 0, 9.0  # padding does not count
    if not shift:
        assert abs(log_ratios[2:].exp().mean() - 1) > 0.002, "the mean must leave 1 by chance"
    warn_of_ratios.cache_clear()
    check_first_ratios(log_ratios, mask, TOKENS, "bf16")
    assert ("biased" in caplog.text) == warns


@pytest.mark.parametrize(("precision", "advice"), [("bf16", "fine-tune it"), ("no", "report")])
def test_the_advice_suits_the_precision(caplog, precision, advice):
    warn_of_ratios.cache_clear()
    check_first_ratios(torch.ones(1, 8), torch.ones(1, 8), 8, precision)
    assert advice in caplog.text
