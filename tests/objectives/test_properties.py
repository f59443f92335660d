"""Properties that hold for all students and teachers (hypothesis)."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from minillm.objectives import sequence_kl, weights
from minillm.objectives.distributions import kl, log_softmax
from minillm.objectives.minillm import VARIANTS, Settings, losses
from minillm.sampling.sampler import mix
from tests.objectives.tabular import Policies, Responses

# Each run uses the same examples, so that failures are reproducible.
quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)
RESPONSES = Responses.all(vocab=3, length=3)
LOGIT = st.floats(-100, 100) | st.just(float("-inf"))
SEEDS = st.integers(0, 2**31)
SPREAD = st.sampled_from([0.01, 1.0, 5.0])  # small: similar models; large: different models
EVERY_CHOICE = {
    **VARIANTS,
    "masked whitening": Settings(whitening="masked"),
    "no single step": Settings(single_step=False, return_from_next=False),
    "discounted": Settings(gamma=0.9),
    "centred by position": Settings(reward_center="position", baseline="prompt"),
    **{
        kind: Settings(importance_weights=kind, length_normalization=False, clip_range=None)
        for kind in ("product", "truncated_product", "none")
    },
}


def distribution(logits: list[float]) -> Tensor:
    return log_softmax(torch.tensor([0.0, *logits], dtype=torch.float64))


@quick
@given(st.lists(st.tuples(LOGIT, LOGIT), min_size=1, max_size=8))
def test_divergences_are_not_negative_and_are_0_for_equal_distributions(logits):
    log_q, log_p = (distribution(list(x)) for x in zip(*logits, strict=True))
    assert min(kl(log_q, log_p), kl(log_p, log_q)) >= -1e-12
    assert kl(log_q, log_q) == 0
    if (log_q.exp() - log_p.exp()).abs().max() > 1e-3:
        assert kl(log_q, log_p) > 1e-7


@pytest.mark.parametrize("choice", EVERY_CHOICE.values(), ids=EVERY_CHOICE)
@quick
@given(seed=SEEDS, spread=SPREAD, alpha=st.sampled_from([0.0, 0.2, 1.0]), shift=st.floats(-9, 9))
def test_a_student_that_equals_its_teacher_has_no_gradient(choice, seed, spread, alpha, shift):
    """The gradient of every response is 0, also if the logits differ by a constant."""
    teacher = spread * RESPONSES.random_table(seed)
    both = Policies(RESPONSES, teacher + shift, teacher, alpha)
    assert both.gradients(choice, both.weights(choice), both.advantages(choice)).abs().max() < 1e-9


@quick
@given(seed=SEEDS, spread=SPREAD, alpha=st.floats(0, 1), bound=st.floats(1, 5))
def test_weights_are_bounded(seed, spread, alpha, bound):
    student, teacher = (spread * RESPONSES.random_table(seed + i) for i in (0, 1))
    both = Policies(RESPONSES, student, teacher, alpha)
    log_probs = both.student_log_probs, both.mixture_log_probs
    largest = 1 / (1 - alpha) if alpha < 1 else float("inf")
    steps = torch.arange(1, RESPONSES.length + 1, dtype=torch.float64)
    per_step, product = weights.per_step(*log_probs), weights.cumulative(*log_probs)
    assert (per_step >= 0).all() and (per_step <= largest * (1 + 1e-9)).all()
    assert (product >= 0).all() and (product <= largest**steps * (1 + 1e-9)).all()
    truncated = weights.cumulative(*log_probs, bound=bound)
    torch.testing.assert_close(truncated, product.clamp(max=bound))
    # The mean of a weight over p~ is 1, if no weight was clamped (see precision.py).
    if product.max() < 1e8:
        assert abs(float((both.probabilities * product[:, -1]).sum()) - 1) < 1e-9
    torch.testing.assert_close(weights.step_ratios(product).cumprod(-1), product)


@quick
@given(seed=SEEDS, spread=SPREAD, alpha=st.floats(0, 1))
def test_the_mixture_is_a_distribution_between_student_and_teacher(seed, spread, alpha):
    log_q, log_p = (log_softmax(spread * RESPONSES.random_table(seed + i)) for i in (0, 1))
    mixture = mix(log_p, log_q, alpha)
    assert (mixture >= torch.minimum(log_q, log_p) - 1e-9).all()
    assert (mixture <= torch.maximum(log_q, log_p) + 1e-9).all()
    torch.testing.assert_close(mixture.exp().sum(-1), torch.ones(len(mixture), dtype=log_q.dtype))


@quick
@given(seed=SEEDS, spread=SPREAD)
def test_the_sequence_kl_is_unbiased_for_all_models(seed, spread):
    student, teacher = (spread * RESPONSES.random_table(seed + i) for i in (0, 1))
    both = Policies(RESPONSES, student, teacher, alpha=0.0)
    kl, _ = both.exact_gradient()
    tokens = both.student_log_probs, both.teacher_log_probs, RESPONSES.mask
    for estimator in (sequence_kl.k1, sequence_kl.k3):
        mean = (both.probabilities * estimator(*tokens)).sum()
        torch.testing.assert_close(mean, kl, atol=1e-9, rtol=1e-9)


@quick
@given(seed=SEEDS, spread=SPREAD, weight=st.floats(0, 2), advantage=st.floats(-5, 5))
def test_clipping_never_lowers_the_loss(seed, spread, weight, advantage):
    """The surrogate is a pessimistic bound: the clipped loss is at least the loss."""
    new_table, old_table = (log_softmax(spread * RESPONSES.random_table(seed + i)) for i in (0, 1))
    shape = (1, len(new_table))
    constants = torch.full(shape, weight), torch.full(shape, advantage)
    new_log_probs, old_log_probs = new_table[None, :, 0], old_table[None, :, 0]
    inputs = new_log_probs, torch.zeros_like(new_log_probs), old_log_probs, *constants
    clipped, unclipped = (
        losses(*inputs, settings=Settings(clip_range=eps)).long for eps in (0.2, None)
    )
    assert (clipped >= unclipped).all()
