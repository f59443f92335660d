"""The estimator against the reverse KL of whole sequences, by enumerating every response.

Student and teacher are tables of logits, one row for each prefix, in float64. The sum over all
responses y of p~(y) times the gradient of our loss on y is the expectation that sampling
estimates; it is compared with the gradient of KL[q || p] over whole responses by autograd.
"""

from itertools import product

import pytest
import torch
from torch import Tensor

from minillm.objectives.divergences import log_softmax, token_log_probs
from minillm.objectives.minillm import Settings, advantages, importance_weights, losses
from minillm.sampling.sampler import mix

VOCAB, LENGTH, EOS = 3, 3, 0
PREFIXES = [p for n in range(LENGTH) for p in product(range(1, VOCAB), repeat=n)]
RESPONSES = [
    y
    for n in range(1, LENGTH + 1)
    for y in product(range(VOCAB), repeat=n)
    if EOS not in y[:-1] and (y[-1] == EOS or n == LENGTH)
]
IDS = torch.tensor([[*y, *[EOS] * (LENGTH - len(y))] for y in RESPONSES])
MASK = torch.tensor([[1] * len(y) + [0] * (LENGTH - len(y)) for y in RESPONSES])
ROWS = torch.tensor([
    [PREFIXES.index(y[:t]) if t < len(y) else 0 for t in range(LENGTH)] for y in RESPONSES
])  # fmt: skip
EXACT = Settings(clip_range=None, length_normalization=False, importance_weights="product")


def table(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(PREFIXES), VOCAB, generator=generator, dtype=torch.float64)


def chosen(log_probs: Tensor) -> Tensor:
    """Log-probabilities of the tokens of every response, 0 on padding."""
    return token_log_probs(log_probs, IDS) * MASK


def exact_gradient(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """KL[q || p] over whole responses, and its gradient by autograd."""
    student = student.clone().requires_grad_()
    log_q = chosen(log_softmax(student)[ROWS]).sum(-1)
    log_p = chosen(log_softmax(teacher)[ROWS]).sum(-1)
    kl = (log_q.exp() * (log_q - log_p)).sum()
    return kl.detach(), torch.autograd.grad(kl, student)[0]


def expected_gradient(student: Tensor, teacher: Tensor, alpha: float, settings: Settings) -> Tensor:
    """The expectation of our loss's gradient over responses drawn from p~."""
    student = student.clone().requires_grad_()
    log_q, log_p = log_softmax(student)[ROWS], log_softmax(teacher)[ROWS]
    old, teacher_log_probs = chosen(log_q.detach()), chosen(log_p)
    mixture = mix(teacher_log_probs, old, alpha)
    weights = importance_weights(old, mixture, settings)
    advantage = advantages(old, teacher_log_probs, mixture, MASK, settings)
    parts = losses(log_q, log_p, IDS, old, weights, advantage, settings)
    by_response = (parts.total * MASK).sum(-1)
    return torch.autograd.grad((mixture.sum(-1).exp() * by_response).sum(), student)[0]


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.7])
@pytest.mark.parametrize("seeds", [(1, 2), (3, 4)])
def test_the_expected_gradient_is_that_of_the_reverse_kl(alpha, seeds):
    student, teacher = map(table, seeds)
    kl, exact = exact_gradient(student, teacher)
    assert kl > 0.1
    estimate = expected_gradient(student, teacher, alpha, EXACT)
    torch.testing.assert_close(estimate, exact, atol=1e-10, rtol=0)
