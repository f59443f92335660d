"""Extreme inputs: half precision, excluded tokens, empty and short rows, alpha 0 and 1."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from minillm.objectives import diagnostics, returns, sequence_kl, weights
from minillm.objectives.distributions import kl, log_softmax, token_log_probs
from minillm.objectives.minillm import (
    VARIANTS,
    Losses,
    Settings,
    advantages,
    importance_weights,
    losses,
    whitened,
)
from minillm.objectives.policy_gradient import clipped_surrogate
from minillm.objectives.precision import LOG_WEIGHT_MAX, LOG_ZERO
from minillm.sampling.sampler import mix

KINDS = ("per_step", "product", "truncated_product", "none")
SETTINGS = {
    **VARIANTS,
    "masked whitening": Settings(whitening="masked"),
    "no clipping": Settings(clip_range=None),
    "centred by position, official rewards": replace(
        VARIANTS["official"], rewards="expected", reward_center="position", baseline="prompt"
    ),
    **{kind: Settings(importance_weights=kind, length_normalization=False) for kind in KINDS},
}
EVERY_SETTING = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)


def random_logits(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def objective(
    student: Tensor,
    teacher: Tensor,
    ids: Tensor,
    mask: Tensor,
    settings: Settings,
    alpha: float = 0.2,
    current_student: Tensor | None = None,
) -> tuple[Losses, Tensor, Tensor]:
    """Compute all steps from logits `[B, T, V]`.

    Returns the parts of the loss, the loss, and its gradient by the logits of the current student.
    """
    logits = (student if current_student is None else current_student).clone().requires_grad_()
    log_p = log_softmax(teacher)
    old_log_probs, teacher_log_probs = (
        token_log_probs(x, ids) * mask for x in (log_softmax(student), log_p)
    )
    mixture = mix(teacher_log_probs, old_log_probs, alpha)
    weight = importance_weights(old_log_probs, mixture, settings)
    advantage = advantages(
        old_log_probs,
        teacher_log_probs,
        mixture,
        mask,
        settings=settings,
        reverse_kl=kl(log_softmax(student), log_p),
    )
    advantage = whitened(advantage, mask, settings=settings)
    log_q = log_softmax(logits)
    terms = token_log_probs(log_q, ids), kl(log_q, log_p)
    parts = losses(*terms, old_log_probs, weight, advantage, settings=settings)
    loss = (parts.total * mask).sum() / mask.sum()
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite() and gradient.isfinite().all()
    return parts, loss, gradient


def batch(rows: int = 3, length: int = 5, vocab: int = 6) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    student, teacher = random_logits(1, rows, length, vocab), random_logits(2, rows, length, vocab)
    ids = random_logits(3, rows, length, vocab).argmax(-1)
    lengths = torch.arange(rows) % length + 1
    return student, teacher, ids, (torch.arange(length) < lengths[:, None]).long()


@EVERY_SETTING
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_every_reduction_is_in_float32(dtype, settings):
    student, teacher, ids, mask = batch(rows=40, length=60)
    student, teacher = student.to(dtype), teacher.to(dtype)
    parts, loss, gradient = objective(student, teacher, ids, mask, settings)
    assert loss.dtype == parts.long.dtype == parts.reverse_kl.dtype == torch.float32
    assert gradient.dtype == dtype
    # The loss of the rounded logits agrees with float64. Only a weight that is very close to a
    # clipping limit could differ, which does not occur with these random numbers.
    _, exact, _ = objective(student.double(), teacher.double(), ids, mask, settings)
    torch.testing.assert_close(loss.double(), exact, atol=2e-5, rtol=2e-5)


def test_half_precision_log_probs_are_summed_in_float32():
    log_q, log_p = (torch.full((1, 3000), x, dtype=torch.bfloat16) for x in (-1.0, -1.0078125))
    mask = torch.ones(1, 3000)
    assert returns.rewards(log_p, log_q, mask).dtype == torch.float32
    assert float(returns.returns((log_p - log_q), from_next=False)[0, 0]) == -3000 * 0.0078125
    assert float(sequence_kl.k1(log_q, log_p, mask)) == 3000 * 0.0078125
    assert weights.cumulative(log_q, log_p).dtype == torch.float32
    assert weights.uniform(log_q).dtype == torch.float32
    assert returns.whiten(log_q, mask).dtype == torch.float32
    assert diagnostics.effective_sample_share(log_q.exp(), mask).dtype == torch.float32


@EVERY_SETTING
def test_float64_stays_float64(settings):
    student, teacher, ids, mask = batch()
    parts, loss, _ = objective(student, teacher, ids, mask, settings)
    assert loss.dtype == parts.long.dtype == parts.single_step.dtype == torch.float64


@EVERY_SETTING
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.0])
def test_loss_and_gradient_are_finite_if_models_exclude_tokens(settings, dtype, alpha):
    student, teacher, ids, mask = batch(rows=5)
    student[0, 0, ids[0, 0]] = -torch.inf  # only the teacher draws this token
    teacher[1, 0, ids[1, 0]] = -torch.inf  # only the student draws this token
    student[2, 1, ids[2, 1]] = teacher[2, 1, ids[2, 1]] = -torch.inf
    teacher[3, 1] = -1e5  # underflow of all tokens but one
    teacher[3, 1, (ids[3, 1] + 1) % 6] = 0.0
    student[4, :, 0] = -torch.inf
    inputs = student.to(dtype), teacher.to(dtype), ids, mask, settings, alpha
    objective(*inputs)
    # The current student allows tokens that it excluded at sampling time, and vice versa.
    objective(*inputs, current_student=student.flip(0).to(dtype))


def test_the_cost_of_excluded_tokens():
    """Tokens that q excludes add 0 to the reverse KL; tokens that p excludes add -LOG_ZERO q."""
    log_q = log_softmax(torch.tensor([0.3, -torch.inf, 0.1, -torch.inf]))
    log_p = log_softmax(torch.tensor([0.2, 0.9, 0.4, -torch.inf]))
    q, p = log_q.exp(), log_p.exp()
    expected = sum(float(q[i] * (q[i] / p[i]).log()) for i in (0, 2))
    assert math.isclose(float(kl(log_q, log_p)), expected, rel_tol=1e-5)
    missing = float(kl(log_p, log_q))
    assert math.isclose(missing, -LOG_ZERO * float(p[1]), rel_tol=1e-3)
    reward = returns.rewards(torch.tensor([[-torch.inf]]), torch.tensor([[-1.0]]), torch.ones(1, 1))
    assert float(reward) == LOG_ZERO + 1


def test_the_gradient_lowers_the_logit_of_a_token_that_the_teacher_excludes():
    student, teacher, ids, mask = batch(rows=1, length=1)
    teacher[0, 0, ids[0, 0]] = -1e5
    for settings in VARIANTS.values():
        _, _, gradient = objective(student, teacher, ids, mask, settings)
        assert gradient[0, 0, ids[0, 0]] > 0  # gradient descent lowers the logit


@EVERY_SETTING
def test_fully_masked_rows_change_nothing(settings):
    if settings.whitening == "all":
        pytest.skip("the official whitening includes padding: see test_invariance.py")
    student, teacher, ids, mask = batch()
    _, loss, gradient = objective(student, teacher, ids, mask, settings)
    with_empty_row = [
        torch.cat([x, torch.zeros_like(x[:1])]) for x in (student, teacher, ids, mask)
    ]
    _, padded_loss, padded_gradient = objective(*with_empty_row, settings)
    torch.testing.assert_close(padded_loss, loss, atol=1e-12, rtol=0)
    torch.testing.assert_close(padded_gradient[:-1], gradient, atol=1e-12, rtol=0)
    assert not padded_gradient[-1].any()


def test_a_batch_without_tokens_gives_zeros():
    zeros = torch.zeros(2, 3)
    assert not returns.whiten(zeros, zeros).any()
    assert not returns.normalize_length(zeros, zeros).any()
    assert float(diagnostics.effective_sample_share(zeros, zeros)) == 0


def test_a_response_of_one_token_has_no_later_rewards():
    student, teacher, ids, mask = batch(length=1)
    parts, *_ = objective(student, teacher, ids, mask, VARIANTS["paper"])
    assert not parts.long.any()
    assert parts.single_step.all()


def test_returns_of_a_response_with_and_without_padding():
    """Expected values by hand: the first response has three tokens, the second has two."""
    rewards = torch.tensor([[1.0, 2.0, 4.0], [3.0, 5.0, 0.0]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    from_next, from_here = returns.returns(rewards), returns.returns(rewards, from_next=False)
    assert from_next.tolist() == [[6, 4, 0], [5, 0, 0]]
    assert from_here.tolist() == [[7, 6, 4], [8, 5, 0]]
    assert returns.normalize_length(from_next, mask).tolist() == [[3, 4, 0], [5, 0, 0]]
    here = returns.normalize_length(from_here, mask.bool(), from_next=False)
    torch.testing.assert_close(here, torch.tensor([[7 / 3, 3, 4], [4, 5, 0]]))
    # The discount is gamma^(t' - t) for every t.
    assert returns.returns(rewards, gamma=0.5).tolist() == [[2, 2, 0], [2.5, 0, 0]]
    discounted = returns.returns(rewards, gamma=0.5, from_next=False)
    assert discounted.tolist() == [[3, 4, 4], [5.5, 5, 0]]
    assert not returns.returns(rewards, gamma=0.0).any()


def test_alpha_of_0_and_1():
    log_q, log_p = torch.tensor([[-1.0, -2.0, -0.5]]), torch.tensor([[-2.0, -0.1, -3.0]])
    for kind in KINDS:
        weight = importance_weights(
            log_q, mix(log_p, log_q, 0.0), Settings(importance_weights=kind)
        )
        assert weight.tolist() == [[1, 1, 1]]
    only_teacher = mix(log_p, log_q, 1.0)
    assert torch.equal(only_teacher, log_p)
    torch.testing.assert_close(weights.per_step(log_q, only_teacher), (log_q - log_p).exp())
    expected = torch.tensor([[1.0, -0.9, 1.6]]).exp()
    torch.testing.assert_close(weights.cumulative(log_q, only_teacher), expected)
    bounded = weights.cumulative(log_q, only_teacher, bound=2.0)
    torch.testing.assert_close(bounded, expected.clamp(max=2.0))
    # A token whose teacher probability is 0: only precision.py bounds the weight.
    assert float(weights.per_step(torch.zeros(1, 1), torch.full((1, 1), -torch.inf))) == (
        pytest.approx(math.exp(LOG_WEIGHT_MAX))
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alpha", [0.2, 0.999, 1.0])
def test_weights_of_thousands_of_tokens_are_finite(kind, alpha):
    """Three rows: large ratios q / p, small ratios, and small ratios followed by large ratios."""
    log_q, log_p = torch.full((3, 4096), -1.0), torch.full((3, 4096), -1.0)
    log_p[0], log_q[1] = -9.0, -9.0
    log_q[2, :2000], log_p[2, 2000:] = -9.0, -9.0
    mask, settings = torch.ones(3, 4096), Settings(importance_weights=kind)
    mixture = mix(log_p, log_q, alpha)
    weight = importance_weights(log_q, mixture, settings)
    advantage = advantages(log_q, log_p, mixture, mask, settings=settings)
    assert weight.isfinite().all() and (weight * advantage).isfinite().all()
    assert diagnostics.effective_sample_share(weight, mask).isfinite()


def test_each_later_reward_has_its_own_truncated_weight():
    """w_t R_{t+1} is the sum over t' > t of min(product up to t', bound) r_t'."""
    generator = torch.Generator().manual_seed(0)
    log_q, log_p = -torch.rand(2, 4, 7, generator=generator, dtype=torch.float64)
    settings = Settings(
        importance_weights="truncated_product", weight_bound=1.1, length_normalization=False
    )
    mask, mixture = torch.ones(4, 7), mix(log_p, log_q, 0.5)
    expected_weight = (log_q - mixture).cumsum(-1).exp().clamp(max=1.1)
    assert 0 < (expected_weight == 1.1).sum() < expected_weight.numel()
    weighted_rewards = expected_weight * (log_p - log_q)
    expected = weighted_rewards.flip(-1).cumsum(-1).flip(-1) - weighted_rewards
    weight = importance_weights(log_q, mixture, settings)
    torch.testing.assert_close(weight, expected_weight)
    torch.testing.assert_close(
        weight * advantages(log_q, log_p, mixture, mask, settings=settings),
        expected,
        atol=1e-12,
        rtol=0,
    )


def test_clipping_stops_gradients_that_would_increase_the_objective_beyond_the_limits():
    """Algorithm 1 with eps 0.2: ratios 1.5 and 0.5, both signs of the advantage; no clipping."""
    log_probs = torch.tensor([[1.5, 1.5, 0.5, 0.5]]).log().requires_grad_()
    advantage = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    inputs = log_probs, torch.zeros(1, 4), torch.ones(1, 4), advantage
    loss, clipped = clipped_surrogate(*inputs, 0.2)
    torch.testing.assert_close(loss, torch.tensor([[-1.2, 1.5, -0.5, 0.8]]))
    assert clipped.tolist() == [[True, False, False, True]]
    (gradient,) = torch.autograd.grad(loss.sum(), log_probs)
    torch.testing.assert_close(gradient, torch.tensor([[0.0, 1.5, -0.5, 0.0]]))
    loss, clipped = clipped_surrogate(*inputs, None)
    torch.testing.assert_close(loss, torch.tensor([[-1.5, 1.5, -0.5, 0.5]]))
    assert not clipped.any()
    # The ratio of a token that both the old and the new student exclude is 1.
    excluded = torch.full((1, 1), -torch.inf)
    loss, _ = clipped_surrogate(excluded, excluded, torch.ones(1, 1), torch.ones(1, 1), 0.2)
    assert float(loss) == -1


def test_diagnostics(monkeypatch):
    ids = torch.tensor([[1, 2, 1, 2, 1, 2], [1, 2, 3, 4, 5, 6], [7, 7, 7, 7, 7, 7]])
    mask = torch.tensor([[1] * 6, [1] * 6, [1, 1, 1, 0, 0, 0]])
    # Of the bigrams 12 21 12 21 12, three of five are repeated; of 77 77, one of two.
    expected = torch.tensor([3 / 5, 0, 1 / 2])
    for pairs in (10_000, 1):  # all rows at once, and row by row
        monkeypatch.setattr(diagnostics, "_PAIRS", pairs)
        torch.testing.assert_close(diagnostics.repetition(ids, mask, n=2), expected)
    assert not diagnostics.repetition(ids, mask, n=7).any()
    share = diagnostics.effective_sample_share(torch.tensor([[1.0, 1.0, 9.0]]), mask[:1, :3])
    assert math.isclose(float(share), 121 / (3 * 83), rel_tol=1e-6)


def test_an_unknown_kind_of_weights_is_refused():
    with pytest.raises(ValueError, match="per_step, product, truncated_product or none"):
        importance_weights(
            torch.zeros(1, 1), torch.zeros(1, 1), replace(Settings(), importance_weights="prod")
        )
