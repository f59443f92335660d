"""Compares the estimators with the exact reverse KL, by enumeration of all responses."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor

from minillm.objectives import sequence_kl
from minillm.objectives.distributions import kl, log_softmax
from minillm.objectives.minillm import Settings, advantages
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
def test_the_expected_gradient_is_the_gradient_of_the_reverse_kl(alpha, seeds):
    both = policies(alpha, seeds)
    kl, exact = both.exact_gradient()
    assert kl > 0.1
    assert_same(both.probabilities.sum(), torch.ones_like(kl))
    assert_same(both.expected_gradient(EXACT), exact)


@ALPHAS
def test_the_plain_policy_gradient_has_the_same_expectation(alpha):
    """Eq. 2 estimates all of R_t from samples; eq. 3 computes the reward of step t exactly."""
    both = policies(alpha)
    assert_same(both.expected_gradient(PLAIN), both.exact_gradient()[1])
    # The -1 in R_t - 1 of eq. 2 does not change the expectation, for any alpha.
    shifted = both.advantages(PLAIN) - 1
    gradients = both.gradients(PLAIN, both.weights(PLAIN), shifted)
    assert_same(both.expectation(gradients), both.exact_gradient()[1])


@ALPHAS
def test_the_single_step_term_can_be_weighted_by_w_t_or_by_its_predecessor(alpha):
    """E[w_t | y_<t] = w_{t-1}, so that both weights give the same expectation."""
    both = policies(alpha)
    weights = both.weights(EXACT)
    previous_weights = torch.cat([torch.ones_like(weights[:, :1]), weights[:, :-1]], dim=1)
    no_long_part = torch.zeros_like(weights)
    expected = both.expectation(both.gradients(EXACT, weights, no_long_part))
    actual = both.expectation(both.gradients(EXACT, previous_weights, no_long_part))
    assert_same(actual, expected)


@pytest.mark.parametrize("alpha", [0.2, 0.7])
def test_per_step_weights_of_the_single_step_term_do_not_change_the_expectation(alpha):
    both = policies(alpha)
    not_weighted = replace(PER_STEP, single_step_weighted=False)
    assert_same(both.expected_gradient(PER_STEP), both.expected_gradient(not_weighted))


def test_without_teacher_mixing_all_weights_are_exact():
    both = policies(alpha=0.0)
    for kind in ("per_step", "none", "truncated_product"):
        settings = replace(EXACT, importance_weights=kind)
        assert_same(both.expected_gradient(settings), both.exact_gradient()[1])


def test_biased_estimators_have_the_expected_bias():
    """Checks that the enumeration detects biases; docs/estimators.md has the complete table."""
    both = policies(alpha=0.2, seeds=(3, 4))
    exact = both.exact_gradient()[1]

    def bias(**changes) -> float:
        return distance(both.expected_gradient(replace(EXACT, **changes)), exact)

    assert bias(importance_weights="per_step") > 0.1
    assert bias(importance_weights="none") > 0.1
    assert bias(length_normalization=True) > 0.1
    # The bias decreases as the bound increases, and is 0 if the bound is the largest product.
    biases = [bias(importance_weights="truncated_product", weight_bound=x) for x in (1, 1.3, 1.5)]
    assert biases[0] > 2 * biases[1] > 4 * biases[2] > 0
    assert bias(importance_weights="truncated_product", weight_bound=1.25**3) < 1e-10


def test_the_papers_product_is_biased_without_weights_on_later_rewards():
    """w_t of eq. 5 corrects y_<=t, but R_{t+1} sums rewards of later tokens, drawn from p~."""
    both = policies(alpha=0.2)
    not_weighted = both.advantages(replace(EXACT, importance_weights="none"))
    gradients = both.gradients(EXACT, both.weights(EXACT), not_weighted)
    assert distance(both.expectation(gradients), both.exact_gradient()[1]) > 0.01


@ALPHAS
def test_after_a_student_update_the_gradient_is_that_of_the_local_objective(alpha):
    """sum_t E_{y_<t ~ q_old} E_{y_t ~ q_new} [log q_new - log p - R_{t+1} under q_old].

    Prefixes and later rewards are those of the student at sampling time (docs/objective.md).
    """
    both = policies(alpha)
    old_student, direction = both.student, RESPONSES.random_table(seed=5)
    on_policy = Policies(RESPONSES, old_student, both.teacher, alpha=0.0)
    # Under q_old: the probability of each row and token, and the mean return after the token.
    mean_returns = torch.zeros(RESPONSES.table_shape, dtype=torch.float64)
    probabilities = torch.zeros_like(mean_returns)
    index = (RESPONSES.rows.flatten(), RESPONSES.ids.flatten())
    shares = on_policy.probabilities[:, None] * RESPONSES.mask
    weighted_returns = shares * on_policy.advantages(EXACT)
    probabilities.index_put_(index, shares.flatten(), accumulate=True)
    mean_returns.index_put_(index, weighted_returns.flatten(), accumulate=True)
    mean_returns = mean_returns / probabilities

    def local_gradient(student: Tensor) -> Tensor:
        student = student.clone().requires_grad_()
        log_q, log_p = log_softmax(student), log_softmax(both.teacher)
        by_row = kl(log_q, log_p) - (log_q.exp() * mean_returns).sum(-1)
        return torch.autograd.grad((probabilities.sum(-1) * by_row).sum(), student)[0]

    errors = []
    for size in (0.1, 0.05):
        student = old_student + size * direction
        assert_same(both.expected_gradient(EXACT, student), local_gradient(student))
        exact = Policies(RESPONSES, student, both.teacher, alpha).exact_gradient()[1]
        errors.append(distance(local_gradient(student), exact))
    # The error is of first order in the drift: half the drift gives half the error.
    assert 1.6 < errors[0] / errors[1] < 2.4


EXPECTED = replace(EXACT, rewards="expected")
NEW_REWARDS = {"expected": EXPECTED, "sampled": EXACT}


@ALPHAS
@pytest.mark.parametrize("from_next", [True, False])
def test_expected_rewards_do_not_change_the_expectation(alpha, from_next):
    """Later rewards have the weight w_{t'-1}; the reward of step t itself stays sampled."""
    both = policies(alpha)
    settings = replace(EXPECTED, single_step=from_next, return_from_next=from_next)
    assert_same(both.expected_gradient(settings), both.exact_gradient()[1])
    for gamma in (0.0, 0.9):
        discounted = replace(settings, gamma=gamma)
        sampled = replace(discounted, rewards="sampled")
        assert_same(both.expected_gradient(discounted), both.expected_gradient(sampled))


def test_without_weights_of_later_rewards_expected_rewards_are_less_biased():
    """The mean of a reward over y_t needs no weight of y_t, so that only prefixes cause a bias."""
    both = policies(alpha=0.2, seeds=(3, 4))
    exact = both.exact_gradient()[1]
    sampled = distance(both.expected_gradient(PER_STEP), exact)
    expected = distance(both.expected_gradient(replace(PER_STEP, rewards="expected")), exact)
    assert 0.01 < expected < 0.8 * sampled


@ALPHAS
@pytest.mark.parametrize("settings", NEW_REWARDS.values(), ids=NEW_REWARDS)
def test_centred_rewards_have_the_gradient_of_the_reverse_kl_per_token(alpha, settings):
    """E[T] grad (KL / E[T]) = grad KL - (KL / E[T]) grad E[T]; the length costs nothing."""
    both = policies(alpha)
    centred = replace(settings, reward_center="batch")
    assert_same(both.expected_gradient(centred), both.exact_gradient_per_token()[1])
    assert distance(both.expected_gradient(centred), both.exact_gradient()[1]) > 0.05


@ALPHAS
def test_rewards_centred_by_position_have_the_gradient_of_a_sum_of_means(alpha):
    """sum_t P(t) grad (E[r_t; t] / P(t)), with the probability P(t) of a token at position t."""
    both = policies(alpha)
    student = both.student.clone().requires_grad_()
    by_token = RESPONSES.log_probs(student)
    probabilities = by_token.sum(-1).exp()[:, None] * RESPONSES.mask
    totals = (probabilities * (by_token - both.teacher_log_probs)).sum(0)
    counts = probabilities.sum(0)
    (expected,) = torch.autograd.grad((counts.detach() * totals / counts).sum(), student)
    for settings in NEW_REWARDS.values():
        centred = replace(settings, reward_center="position")
        assert_same(both.expected_gradient(centred), expected)


def batches_of_two(alpha: float, shares_coins: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Every pair of responses, as indices `[2]`, and its probability."""
    both = policies(alpha)
    log_q, log_p = both.student_log_probs, both.teacher_log_probs
    for rows in product(range(len(RESPONSES.ids)), repeat=2):
        rows = torch.tensor(rows)
        if shares_coins:  # at each step, both tokens come from the teacher or from the student
            heads, tails = (x[rows].sum(0).exp() for x in (log_p, log_q))
            yield rows, (alpha * heads + (1 - alpha) * tails).prod()
        else:
            yield rows, both.probabilities[rows].prod()


def mean_over_batches(settings: Settings, alpha: float, shares_coins: bool = False) -> Tensor:
    """The expected gradient of batches of two responses, per response."""
    both = policies(alpha)
    weights = both.weights(settings)
    values = torch.zeros_like(weights)  # the advantage of each response, averaged over the other
    probabilities = torch.zeros(len(weights), dtype=torch.float64)
    for rows, probability in batches_of_two(alpha, shares_coins):
        logs = (both.student_log_probs, both.teacher_log_probs, both.mixture_log_probs)
        pair = advantages(
            *(x[rows] for x in logs),
            RESPONSES.mask[rows],
            settings=settings,
            reverse_kl=both.reverse_kl[rows],
            group_size=2,
        )
        values[rows[0]] += probability * pair[0]
        probabilities[rows[0]] += probability
    assert_same(probabilities, both.probabilities)
    values = values / probabilities[:, None]
    return both.expectation(both.gradients(settings, weights, values))


@pytest.mark.parametrize("baseline", ["position", "prompt"])
@pytest.mark.parametrize("rewards", NEW_REWARDS)
def test_a_baseline_of_independent_responses_does_not_change_the_expectation(baseline, rewards):
    """Also under the mixture: E[w_t grad log q(y_t) | y_<t] = 0."""
    for alpha in (0.0, 0.2):
        settings = replace(EXACT, rewards=rewards, baseline=baseline)
        assert_same(mean_over_batches(settings, alpha), policies(alpha).exact_gradient()[1])


def test_a_baseline_changes_the_expectation_of_truncated_weights():
    """E[w_t grad log q(y_t) | y_<t] is not 0, because the truncated weights have another mean."""
    truncated = replace(EXACT, importance_weights="truncated_product", weight_bound=1.0)
    plain = mean_over_batches(truncated, 0.2)
    assert_same(plain, policies(0.2).expected_gradient(truncated))
    assert distance(mean_over_batches(replace(truncated, baseline="position"), 0.2), plain) > 0.05


def test_a_baseline_of_responses_with_the_same_coins_is_biased():
    """The coin of step t changes both the token y_t and the returns of the other responses."""
    settings, exact = replace(EXPECTED, baseline="position"), policies(0.2).exact_gradient()[1]
    assert_same(mean_over_batches(EXPECTED, 0.2, shares_coins=True), exact)
    assert distance(mean_over_batches(settings, 0.2, shares_coins=True), exact) > 0.1


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
