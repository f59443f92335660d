"""`variant: official` against values computed with the official code (microsoft/LMOps, minillm).

The file is not part of the repository: MINILLM_VECTORS names it, or it lies in ../shared. The
hand-derived case below always runs.
"""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from minillm.objectives import returns
from minillm.objectives.divergences import log_softmax, token_log_probs
from minillm.objectives.minillm import VARIANTS, advantages, importance_weights, losses
from minillm.sampling.sampler import mix

DEFAULT = Path(__file__).parents[3] / "shared" / "vectors" / "official_objective.json"
FILE = Path(os.environ.get("MINILLM_VECTORS", DEFAULT))
CASES = json.loads(FILE.read_text()) if FILE.is_file() else []


@pytest.mark.skipif(not CASES, reason=f"{FILE} is absent: set MINILLM_VECTORS to the vectors' file")
@pytest.mark.parametrize("case", CASES or [None], ids=lambda case: case and f"seed{case['seed']}")
def test_every_field_of_the_official_code(case):
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
    weights = importance_weights(old, mixture, settings)
    check(weights, "importance_weights")
    plain = replace(settings, whitening="none")
    check(advantages(old, teacher, mixture, mask, plain), "returns_length_normalised")
    advantage = advantages(old, teacher, mixture, mask, settings)
    check(advantage, "advantages_whitened")

    def mean(values: Tensor) -> Tensor:
        return (values * mask).sum() / mask.sum()

    parts = losses(log_q, log_p, ids, old, weights, advantage, settings)
    check(mean(parts.long), "policy_gradient_loss")
    check(mean(parts.reverse_kl), "single_step_loss")
    loss = mean(parts.total)
    check(loss, "total_loss")
    check(torch.autograd.grad(loss, logits)[0], "grad_new_student_logits")
