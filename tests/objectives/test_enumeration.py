"""The estimator against the reverse KL of whole sequences, by enumerating every response."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from minillm.objectives import sequence_kl
from minillm.objectives.distributions import kl, log_softmax
from minillm.objectives.minillm import Settings
from tests.objectives.tabular import Policies, Responses

RESPONSES = Responses.all(vocab=3, length=3)
EXACT = Settings(clip_range=None, length_normalization=False, importance_weights="product")
PLAIN = replace(EXACT, single_step=False, return_from_next=False)  # eq. 2
PER_STEP = replace(EXACT, importance_weights="per_step")
ALPHAS = pytest.mark.parametrize("alpha", [0.0, 0.2, 0.7, 1.0])


def policies(alpha: float, seeds: tuple[int, int] = (1, 2)) -> Policies:
    return Policies(RESPONSES, *map(RESPONSES.random_table, seeds), alpha)


def assert_same(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-10, rtol=0)


def distance(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).norm() / expected.norm())


@ALPHAS
@pytest.mark.parametrize("seeds", [(1, 2), (3, 4)])
def test_the_expected_gradient_is_that_of_the_reverse_kl(alpha, seeds):
    both = policies(alpha, seeds)
    kl, exact = both.exact_gradient()
    assert kl > 0.1
    assert_same(both.probabilities.sum(), torch.ones_like(kl))
    assert_same(both.expected_gradient(EXACT), exact)


@ALPHAS
def test_the_plain_policy_gradient_is_the_same(alpha):
    """Equation 2 against 3: all of R_t by sampling, or the reward of step t exactly."""
    both = policies(alpha)
    assert_same(both.expected_gradient(PLAIN), both.exact_gradient()[1])
    # The -1 of eq. 2's R_t - 1 has no effect on average, whatever the weights' alpha.
    shifted = both.advantages(PLAIN) - 1
    gradients = both.gradients(PLAIN, both.weights(PLAIN), shifted)
    assert_same(both.expectation(gradients), both.exact_gradient()[1])


@ALPHAS
def test_the_single_step_term_weighted_by_steps_before_it_is_exact_too(alpha):
    """E[w_t | y_<t] = w_{t-1}: whether y_t's own factor is in the weight changes no mean."""
    both = policies(alpha)
    weights = both.weights(EXACT)
    before = torch.cat([torch.ones_like(weights[:, :1]), weights[:, :-1]], dim=1)
    no_long = torch.zeros_like(weights)
    with_own = both.expectation(both.gradients(EXACT, weights, no_long))
    assert_same(both.expectation(both.gradients(EXACT, before, no_long)), with_own)


@pytest.mark.parametrize("alpha", [0.2, 0.7])
def test_with_per_step_weights_the_single_step_terms_weight_has_no_effect_on_average(alpha):
    both = policies(alpha)
    not_weighted = replace(PER_STEP, single_step_weighted=False)
    assert_same(both.expected_gradient(PER_STEP), both.expected_gradient(not_weighted))


def test_without_a_mixture_no_weights_are_exact():
    both = policies(alpha=0.0)
    for kind in ("per_step", "none", "truncated_product"):
        settings = replace(EXACT, importance_weights=kind)
        assert_same(both.expected_gradient(settings), both.exact_gradient()[1])


def test_what_is_biased_and_by_how_much():
    """docs/estimators.md has the whole table; here, that the machinery sees a bias at all."""
    both = policies(alpha=0.2, seeds=(3, 4))
    exact = both.exact_gradient()[1]

    def bias(**changes) -> float:
        return distance(both.expected_gradient(replace(EXACT, **changes)), exact)

    assert bias(importance_weights="per_step") > 0.1
    assert bias(importance_weights="none") > 0.1
    assert bias(length_normalization=True) > 0.1
    # The closer the bound to the largest product, the smaller the bias, down to none.
    biases = [bias(importance_weights="truncated_product", weight_bound=x) for x in (1, 1.3, 1.5)]
    assert biases[0] > 2 * biases[1] > 4 * biases[2] > 0
    assert bias(importance_weights="truncated_product", weight_bound=1.25**3) < 1e-10


def test_the_papers_product_needs_weights_on_the_rewards_ahead():
    """w_t of eq. 5 corrects y_<=t, but R_{t+1} sums rewards of later tokens, drawn from p~."""
    both = policies(alpha=0.2)
    ahead_not_weighted = both.advantages(replace(EXACT, importance_weights="none"))
    gradients = both.gradients(EXACT, both.weights(EXACT), ahead_not_weighted)
    assert distance(both.expectation(gradients), both.exact_gradient()[1]) > 0.01


@ALPHAS
def test_after_the_student_moved_it_is_the_gradient_of_the_local_objective(alpha):
    """sum_t E_{y_<t ~ q_old} E_{y_t ~ q_new} [log q_new - log p - R_{t+1} under q_old].

    Prefixes and rewards ahead stay those of the student that sampled (docs/objective.md).
    """
    both = policies(alpha)
    start, direction = both.student, RESPONSES.random_table(seed=5)
    on_policy = Policies(RESPONSES, start, both.teacher, alpha=0.0)
    # Under q_old: the chance to reach each row, and the mean return after each of its tokens.
    ahead = torch.zeros(RESPONSES.table_shape, dtype=torch.float64)
    chance = torch.zeros_like(ahead)
    place = (RESPONSES.rows.flatten(), RESPONSES.ids.flatten())
    shares = on_policy.probabilities[:, None] * RESPONSES.mask
    chance.index_put_(place, shares.flatten(), accumulate=True)
    ahead.index_put_(place, (shares * on_policy.advantages(EXACT)).flatten(), accumulate=True)
    ahead = ahead / chance

    def local_gradient(now: Tensor) -> Tensor:
        now = now.clone().requires_grad_()
        log_q, log_p = log_softmax(now), log_softmax(both.teacher)
        by_row = kl(log_q, log_p) - (log_q.exp() * ahead).sum(-1)
        return torch.autograd.grad((chance.sum(-1) * by_row).sum(), now)[0]

    errors = []
    for size in (0.1, 0.05):
        now = start + size * direction
        assert_same(both.expected_gradient(EXACT, now), local_gradient(now))
        exact = Policies(RESPONSES, now, both.teacher, alpha).exact_gradient()[1]
        errors.append(distance(local_gradient(now), exact))
    # Of first order in the drift: half the drift, half the error.
    assert 1.6 < errors[0] / errors[1] < 2.4


def test_estimators_of_the_sequence_kl():
    both = policies(alpha=0.0)
    exact, _ = both.exact_gradient()

    def mean(estimates: Tensor) -> Tensor:
        return (both.probabilities * estimates).sum()

    tokens = both.student_log_probs, both.teacher_log_probs, RESPONSES.mask
    assert_same(mean(sequence_kl.k1(*tokens)), exact)
    assert_same(mean(sequence_kl.k3(*tokens)), exact)
    assert abs(mean(sequence_kl.k2(*tokens)) - exact) > 0.01
    log_q, log_p = (log_softmax(x)[RESPONSES.rows] for x in (both.student, both.teacher))
    assert_same(mean((kl(log_q, log_p) * RESPONSES.mask).sum(-1)), exact)
    assert sequence_kl.k1(*tokens).min() < 0
    assert sequence_kl.k2(*tokens).min() >= 0
    assert sequence_kl.k3(*tokens).min() >= 0
