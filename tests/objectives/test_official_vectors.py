"""Compares `variant: official` with values of the official code (microsoft/LMOps, minillm).

The file of values is not part of the repository: it is in ../shared, or MINILLM_VECTORS is its
path. The case below, derived by hand, always runs.
"""

import json
import os
from dataclasses import replace
from math import log
from pathlib import Path

import pytest
import torch
from torch import Tensor

from minillm.objectives import returns, sequence_kl
from minillm.objectives.distributions import kl, log_softmax, token_log_probs
from minillm.objectives.minillm import (
    VARIANTS,
    advantages,
    importance_weights,
    losses,
    whitened,
)
from minillm.sampling.sampler import mix

DEFAULT = Path(__file__).parents[3] / "shared" / "vectors" / "official_objective.json"
FILE = Path(os.environ.get("MINILLM_VECTORS", DEFAULT))
CASES = json.loads(FILE.read_text()) if FILE.is_file() else []


# Two responses over a vocabulary of 8 tokens; the second has one token and one position of padding.
# All probabilities are powers of two: L = ln 2, and a row below contains the exponents e of a
# distribution 2^-e.
L = log(2)
P00, Q00 = (2, 2, 2, 3, 4, 5, 6, 6), (3, 2, 2, 2, 4, 5, 6, 6)
P01, Q01 = (6, 2, 2, 2, 3, 4, 5, 6), (2, 2, 2, 3, 4, 5, 6, 6)
P10, Q10 = P00, P00
UNIFORM = (3,) * 8
BY_HAND = {
    "shape": {"batch": 2, "response": 2, "vocab": 8},
    "alpha": 0.5,
    "single_step": True,
    "reward_scaling": 0.5,
    "reward_clip": 4 * L,
    "clip_range": 0.2,
    "gamma": 1.0,
    "response_ids": [[1, 0], [2, 0]],
    "mask": [[1, 1], [1, 0]],
    "old_student_logits": [-L * e for e in UNIFORM * 4],
    "new_student_logits": [-L * e for e in Q00 + Q01 + Q10 + UNIFORM],
    "teacher_logits": [-L * e for e in P00 + P01 + P10 + UNIFORM],
    # p/q is 2, 1/8, 2; the logarithms L, -3L, L are divided by 1/2 and clipped at 4L.
    "rewards": [2 * L, -4 * L, 2 * L, 0],
    # q/p~ with p~ = (p + q) / 2: (1/8)/(3/16), (1/8)/(9/128), and 1 on padding.
    "importance_weights": [2 / 3, 16 / 9, 2 / 3, 1],
    # (2 - 4)/2, -4/1, 2/1.
    "returns_length_normalised": [-L, -4 * L, 2 * L, 0],
    # The mean over all four positions is -3/4 L. The deviations are -1, -13, 11, 3 quarters of L.
    # Their squares sum to 300/16 L^2, and a third of the sum is (5/2 L)^2.
    "advantages_whitened": [-0.1, -1.3, 1.1, 0.3],
    # q_new is 1/4 at each token, twice q_old, so the ratios are 4/3, 32/9, 4/3. -A ratio is 2/15
    # (clipped: 0.12, which is less), 208/45 (clipped: 1.56) and -22/15 (clipped: -1.32, which is
    # more, so that the gradient is 0).
    "policy_gradient_loss": (2 / 15 + 208 / 45 - 1.32) / 3,
    # KL[q_new || p]: (1/4 - 1/8) L; (4/4 - 1/8 - 1/16 - 1/32 - 1/64) L; 0.
    "single_step_loss": (1 / 8 + 49 / 64) * L / 3,
    "total_loss": (2 / 15 + 208 / 45 - 1.32 + 57 / 64 * L) / 3,
    # The gradient at logit j is a third of -A ratio (1[j is the token] - q_j) +
    # q_j (ln(q_j / p_j) - KL). It is 0 where the ratio is clipped and q_new = p, and on padding.
    "grad_new_student_logits": [
        x / 3
        for x in (
            [-1 / 60 - 9 / 64 * L, 1 / 10 - L / 32, -1 / 30 - L / 32, -1 / 30 + 7 / 32 * L,
             -1 / 120 - L / 128, -1 / 240 - L / 256, -1 / 480 - L / 512, -1 / 480 - L / 512,
             52 / 15 + 207 / 256 * L, -52 / 45 - 49 / 256 * L, -52 / 45 - 49 / 256 * L,
             -26 / 45 - 113 / 512 * L, -13 / 45 - 113 / 1024 * L, -13 / 90 - 113 / 2048 * L,
             -13 / 180 - 113 / 4096 * L, -13 / 180 - 49 / 4096 * L] + [0.0] * 16
        )
    ],
    # x - 1 - ln x for x = p/q_old: (1 - L) + (-7/8 + 3L), and 1 - L.
    "reverse_kl_k3_per_sequence": [1 / 8 + 2 * L, 1 - L],
}  # fmt: skip


def test_a_case_derived_by_hand():
    check_every_field(BY_HAND)


@pytest.mark.skipif(not CASES, reason=f"{FILE} does not exist: set MINILLM_VECTORS to its path")
@pytest.mark.parametrize("case", CASES or [None], ids=lambda case: case and f"seed{case['seed']}")
def test_every_field_of_the_official_code(case):
    check_every_field(case)


def check_every_field(case: dict) -> None:
    """Compute the objective from logits to the gradient, and compare each field of `case`."""
    batch, length = case["shape"]["batch"], case["shape"]["response"]
    vocab = case["shape"]["vocab"]

    def tensor(name: str, *shape: int) -> Tensor:
        return torch.tensor(case[name], dtype=torch.float64).reshape(shape)

    def check(actual: Tensor, name: str) -> None:
        expected = tensor(name, *actual.shape)
        torch.testing.assert_close(actual.double(), expected, atol=1e-5, rtol=1e-5, msg=name)

    ids, mask = torch.tensor(case["response_ids"]), torch.tensor(case["mask"])
    logits = tensor("new_student_logits", batch, length, vocab).requires_grad_()
    log_q = log_softmax(logits)
    log_old = log_softmax(tensor("old_student_logits", batch, length, vocab))
    log_p = log_softmax(tensor("teacher_logits", batch, length, vocab))
    old, teacher = (token_log_probs(x, ids) * mask for x in (log_old, log_p))
    settings = replace(
        VARIANTS["official"],
        gamma=case["gamma"],
        clip_range=case["clip_range"],
        single_step=case["single_step"],
        reward_scaling=case["reward_scaling"] or 1.0,
        reward_clip=case["reward_clip"],
    )
    mixture = mix(teacher, old, case["alpha"] or 0.0)

    reward = returns.rewards(teacher, old, mask, settings.reward_scaling, settings.reward_clip)
    check(reward, "rewards")
    check(sequence_kl.k3(old, teacher, mask), "reverse_kl_k3_per_sequence")
    weights = importance_weights(old, mixture, settings)
    check(weights, "importance_weights")
    advantage = advantages(old, teacher, mixture, mask, settings=settings)
    check(advantage, "returns_length_normalised")
    advantage = whitened(advantage, mask, settings=settings)
    check(advantage, "advantages_whitened")

    def mean(values: Tensor) -> Tensor:
        return (values * mask).sum() / mask.sum()

    terms = token_log_probs(log_q, ids), kl(log_q, log_p)
    parts = losses(*terms, old, weights, advantage, settings=settings)
    check(mean(parts.long), "policy_gradient_loss")
    check(mean(parts.reverse_kl), "single_step_loss")
    loss = mean(parts.total)
    check(loss, "total_loss")
    check(torch.autograd.grad(loss, logits)[0], "grad_new_student_logits")
