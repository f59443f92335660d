"""Targets that hold the k most likely tokens and a tail."""

import math

import pytest
import torch
from torch import Tensor

from minillm.objectives.chunked import vocabulary_loss, vocabulary_terms
from minillm.objectives.distributions import log_softmax
from minillm.objectives.divergences import ForwardKL
from minillm.objectives.precision import LOG_ZERO
from minillm.objectives.targets import (
    HeadTargets,
    LogitsChunk,
    MixtureTargets,
    TopKTargets,
    top_k_targets,
)
from minillm.objectives.terms import DivergenceTerm
from tests.objectives.plain_divergences import EXTREME, PLAIN, assert_close
from tests.objectives.small_heads import (
    CHUNKS,
    DEFAULTS,
    EVERY_DIVERGENCE,
    HEADS,
    TOKENS,
    VOCAB,
    assert_loss_is,
    head_targets,
    logits_head,
    random,
    random_head,
    teacher_logits,
)

EXCLUDED = -1e5  # -inf would be nan in the product with the 0 of `logits_head`
F_DIVERGENCES = [d for d in DEFAULTS if d.name not in ("alpha_beta", "adaptive_kl", "logit_mse")]


def top_k(z_p: Tensor, k: int, temperature: float = 1.0) -> TopKTargets:
    top = log_softmax(z_p, temperature).topk(k)
    return TopKTargets(top.indices, top.values, temperature)


def with_tail(probabilities: Tensor, ids: Tensor) -> Tensor:
    """The probabilities of the k tokens and of all other tokens together, `[n, k + 1]`."""
    tail = probabilities.scatter(-1, ids, 0.0).sum(-1, keepdim=True)
    return torch.cat([probabilities.gather(-1, ids), tail], dim=-1)


def evaluate(divergence, z: Tensor, targets) -> tuple[Tensor, Tensor]:
    """The divergence `[n]` and its gradient by the logits `[n, V]`."""
    z = z.clone().requires_grad_()
    total, values = vocabulary_loss(
        z, logits_head(z.shape[-1], z.dtype), torch.zeros(len(z), dtype=torch.int64),
        terms={"x": DivergenceTerm(divergence)}, targets=targets, loss=lambda values: values["x"],
    )  # fmt: skip
    return values["x"], torch.autograd.grad(total, z)[0]


@CHUNKS
@pytest.mark.parametrize("k", [1, 4, VOCAB - 1])
@EVERY_DIVERGENCE
def test_divergences_on_k_tokens_and_a_tail(divergence, k, chunk_size):
    kind, temperature, teacher_temperature = HEADS["softcap"], 1.3, 1.7
    z_p = teacher_logits(head_targets(3, **kind))
    targets = top_k(z_p, k, teacher_temperature)
    p = with_tail((z_p / teacher_temperature).softmax(-1), targets.ids)

    def plain(z: Tensor) -> dict[str, Tensor]:
        q = with_tail((z / temperature).softmax(-1), targets.ids)
        formula = PLAIN[divergence.name](q, p, **vars(divergence))
        return {"x": temperature**2 * formula}

    assert_loss_is(
        plain, random(2, TOKENS, 5), random_head(1, 5, **kind), targets=targets,
        terms={"x": DivergenceTerm(divergence, temperature, teacher_temperature)},
        chunk_size=chunk_size,
    )  # fmt: skip


@EVERY_DIVERGENCE
@pytest.mark.parametrize("k", [1, 3, 8, 9])
def test_rows_of_the_gradient_sum_to_0(divergence, k):
    _, gradient = evaluate(divergence, random(1, 20, 9), top_k(2 * random(2, 20, 9), k))
    assert gradient.any(-1).all()
    assert gradient.sum(-1).abs().max() < 1e-12 * max(1, float(gradient.abs().max()))


@EVERY_DIVERGENCE
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-4)])
def test_with_all_tokens_it_is_the_divergence_on_the_vocabulary(divergence, dtype, tolerance):
    """Excluded tokens included, whatever the order of the tokens."""
    z, z_p = (2 * random(seed, 200, 9, dtype=dtype) for seed in (1, 2))
    z[:50, 1:3] = z_p[:50, 2:4] = EXCLUDED
    targets, order = top_k(z_p, 9), random(3, 200, 9).argsort()
    shuffled = TopKTargets(targets.ids.gather(-1, order), targets.log_probs.gather(-1, order))
    full = evaluate(divergence, z, HeadTargets(z_p, logits_head(9, dtype)))
    for one, other in zip(evaluate(divergence, z, shuffled), full, strict=True):
        assert_close(one, other, tolerance)


@pytest.mark.parametrize("divergence", F_DIVERGENCES, ids=str)
def test_it_is_a_lower_bound_that_grows_with_k(divergence):
    z, z_p = 2 * random(1, 50, 9), 2 * random(2, 50, 9)
    full, _ = evaluate(divergence, z, HeadTargets(z_p, logits_head(9)))
    bounds = torch.stack([evaluate(divergence, z, top_k(z_p, k))[0] for k in range(1, 10)])
    assert (bounds[0] >= -1e-14).all() and (bounds.diff(dim=0) >= -1e-12).all()
    assert (bounds[0] < full - 1e-3).any() and (bounds[-1] <= full + 1e-12).all()


@pytest.mark.parametrize("divergence", F_DIVERGENCES, ids=str)
def test_a_tail_that_is_lost_to_rounding_is_not_an_excluded_tail(divergence):
    """Float32 log-probabilities of a sure teacher have the sum 1, up to rounding."""
    z, z_p = random(1, 200, 50, dtype=torch.float32), random(2, 200, 50, dtype=torch.float32)
    z_p[:, 7] = torch.linspace(5, 60, 200)
    full, full_gradient = evaluate(divergence, z, HeadTargets(z_p, logits_head(50, z.dtype)))
    bound, gradient = evaluate(divergence, z, top_k(z_p, 4))
    assert (bound <= full + 1e-4).all() and (bound > 0.1 * full).all()
    assert gradient.abs().max() <= 1.5 * full_gradient.abs().max()


@EVERY_DIVERGENCE
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_sums_of_1_and_above(divergence, dtype):
    z = random(1, 3, 5, dtype=torch.float32)
    probabilities = torch.tensor([[0.75, 0.25], [1.0, 0.0], [0.8, 0.2]])
    log_probs = probabilities.log().to(dtype)
    log_probs[2] += 0.01  # as rounding does
    targets = TopKTargets(torch.tensor([[0, 1], [3, 2], [4, 0]]), log_probs)
    value, gradient = evaluate(divergence, z, targets)
    assert value.isfinite().all() and gradient.isfinite().all()
    assert gradient.sum(-1).abs().max() < 1e-5 * max(1, float(gradient.abs().max()))


@EVERY_DIVERGENCE
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_excluded_and_underflowed_tokens(divergence, k, dtype):
    """Four tokens: all pairs of extremes for two of the student's and two of the teacher's."""
    pairs = torch.cartesian_prod(*[torch.tensor(EXTREME, dtype=dtype)] * 4)
    zero = torch.zeros(len(pairs), 1, dtype=dtype)
    z = torch.cat([zero, pairs[:, :2], pairs[:, :1]], dim=-1)
    z_p = torch.cat([zero, pairs[:, 2:], pairs[:, 3:] - 0.25], dim=-1)
    value, gradient = evaluate(divergence, z.clamp(min=EXCLUDED), top_k(z_p, k))
    assert value.isfinite().all() and gradient.isfinite().all()
    assert not gradient[z == -torch.inf].any()
    # Float32 numbers near `LOG_ZERO` are 1e-3 apart.
    size = gradient.abs().amax(-1).clamp(min=1.0)
    assert (gradient.sum(-1).abs() < (2e-3 if dtype == torch.float32 else 1e-10) * size).all()
    if divergence in F_DIVERGENCES:
        chunk = LogitsChunk(z_p)
        full = divergence.value(*chunk.pair(slice(None), log_softmax(z), 1.0))
        assert (value <= full + 1e-3 * full.clamp(min=10.0)).all()


def test_a_tail_that_the_student_excludes_has_no_gradient():
    z = torch.tensor([[0.0, 1.0, EXCLUDED, EXCLUDED], [0.0, 1.0, EXCLUDED, -300.0]])
    p, ids = torch.tensor([[0.4, 0.4, 0.2]] * 2), torch.tensor([[0, 1]] * 2)
    value, gradient = evaluate(ForwardKL(), z, TopKTargets(ids, p[:, :2].log()))
    tails = torch.tensor([[LOG_ZERO], [-300 - math.log1p(math.e)]])
    log_q = torch.cat([z[:, :2].log_softmax(-1), tails], dim=-1)
    assert_close(value, (p * (p.log() - log_q)).sum(-1), 1e-4)
    assert not gradient[0, 2:].any()
    assert_close(gradient[1, 2:], torch.tensor([0.0, -0.2]), 1e-6)


@pytest.mark.parametrize(("student", "teacher"), [(1.0, None), (2.0, 1.0), (2.0, 1.99)])
def test_another_temperature_is_refused(student, teacher):
    targets = top_k(random(3, TOKENS, VOCAB), 4, temperature=2.0)
    inputs = random(2, TOKENS, 5), random_head(1, 5), torch.arange(TOKENS)
    asked = student if teacher is None else teacher
    message = f"stored at temperature 2.0 cannot be read at temperature {asked}: store"
    with pytest.raises(ValueError, match=message):
        terms = {"x": DivergenceTerm(ForwardKL(), student, teacher)}
        vocabulary_terms(*inputs, terms=terms, targets=targets)
    for fine in (DivergenceTerm(ForwardKL(), 2.0), DivergenceTerm(ForwardKL(), 1.0, 2.0)):
        vocabulary_terms(*inputs, terms={"x": fine}, targets=targets)


@pytest.mark.parametrize("chunk_size", [1, 7, TOKENS, 100])
@pytest.mark.parametrize("k", [1, 4, VOCAB, VOCAB + 5])
def test_the_k_most_likely_tokens_in_chunks(k, chunk_size):
    teacher = head_targets(3, **HEADS["softcap"])
    teacher.hidden.requires_grad_()
    log_p = (teacher_logits(teacher) / 1.7).log_softmax(-1).detach()
    targets = top_k_targets(teacher, TOKENS, k, 1.7, chunk_size)
    expected = log_p.topk(min(k, VOCAB))
    assert torch.equal(targets.ids, expected.indices) and targets.temperature == 1.7
    assert_close(targets.log_probs, expected.values, 1e-12)
    assert not targets.log_probs.requires_grad
    batch = HeadTargets(teacher.hidden[:10].unflatten(0, (2, 5)), teacher.head)
    assert torch.equal(top_k_targets(batch, 10, k, 1.7, chunk_size).ids, targets.ids[:10])


def test_the_k_most_likely_tokens_of_a_mixture_and_of_no_tokens():
    parts = head_targets(3), head_targets(4)
    p = [teacher_logits(part).softmax(-1) for part in parts]
    mixture = MixtureTargets(parts, (0.3, 0.7))
    targets = top_k_targets(mixture, TOKENS, 3, 1.0, 4)
    assert torch.equal(targets.ids, (0.3 * p[0] + 0.7 * p[1]).topk(3).indices)
    with pytest.raises(ValueError, match=r"whole distribution .* teacher.top_k=null"):
        top_k_targets(targets, TOKENS, 2, 1.0, 4)
    empty = top_k_targets(mixture.select(torch.arange(0)), 0, 3, 1.0, 4)
    assert empty.ids.shape == empty.log_probs.shape == (0, 3)
