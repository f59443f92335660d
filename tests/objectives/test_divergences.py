"""Each divergence against a plain formula on probabilities, its limits, bounds and extremes.

Every registered divergence takes part with its defaults. A new one needs its formula in `PLAIN`.
"""

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from minillm.objectives.distributions import log_softmax
from minillm.objectives.divergences import DIVERGENCES, Divergence, build_divergence
from tests.objectives.plain_divergences import (
    EXTREME,
    PLAIN,
    assert_close,
    evaluate,
    random_logits,
)

PARAMETERS = [
    ("symmetric", {"forward_weight": 1.0, "reverse_weight": 1.0}),
    ("symmetric", {"forward_weight": 0.0, "reverse_weight": 0.3}),
    ("jsd", {"beta": 0.1}),
    ("jsd", {"beta": 0.9}),
    ("skew_forward_kl", {"alpha": 0.6}),
    ("skew_reverse_kl", {"alpha": 0.6}),
    ("skew_reverse_kl", {"alpha": 0.6, "detach_mixture": True}),
    *(
        ("alpha_beta", {"alpha": alpha, "beta": beta})
        for alpha, beta in [(0.7, 0.2), (1.5, 0.8), (0.4, 0), (0, 0.4), (1, 0), (0, 1), (0, 0)]
    ),
    ("adaptive_kl", {"mu": 0.9}),
]
CASES = [(name, {}) for name in DIVERGENCES] + PARAMETERS
BUILT = [build_divergence(name, parameters) for name, parameters in CASES]
EVERY_DIVERGENCE = pytest.mark.parametrize("divergence", BUILT, ids=str)
# The gradient of these leaves out what is detached: it is not the derivative of the value.
DETACHED = [d for d in BUILT if d.name == "adaptive_kl" or getattr(d, "detach_mixture", False)]
quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)


@EVERY_DIVERGENCE
@pytest.mark.parametrize("size", [2, 3, 11, 300])
@pytest.mark.parametrize("spread", [0.01, 1.0, 4.0])
def test_value_and_gradient_are_those_of_the_plain_formula(divergence, size, spread):
    assert divergence.name in PLAIN, f"add the formula of {divergence.name} to PLAIN"
    z = random_logits(1, 4, size, spread=spread).requires_grad_()
    z_p = random_logits(2, 4, size, spread=spread)
    expected = PLAIN[divergence.name](z.softmax(-1), z_p.softmax(-1), **vars(divergence))
    value, gradient = evaluate(divergence, z.detach(), z_p)
    assert_close(value, expected.detach())
    assert_close(gradient, torch.autograd.grad(expected.sum(), z)[0])
    assert gradient.sum(-1).abs().max() < 1e-12 * max(1, float(gradient.abs().max()))


@pytest.mark.parametrize("divergence", [d for d in BUILT if d not in DETACHED], ids=str)
def test_the_gradient_is_the_central_difference_of_the_value(divergence):
    z, z_p, step = random_logits(1, 1, 5), random_logits(2, 1, 5), 1e-5
    _, gradient = evaluate(divergence, z, z_p)
    steps = step * torch.eye(5, dtype=z.dtype)
    ahead, behind = (evaluate(divergence, z + x, z_p.expand(5, 5))[0] for x in (steps, -steps))
    assert_close((ahead - behind) / (2 * step), gradient[0], 1e-8)


@EVERY_DIVERGENCE
def test_value_and_gradient_are_0_where_the_student_equals_the_teacher(divergence):
    z = random_logits(1, 4, 9, spread=3.0)
    z[1, 2:4] = -torch.inf
    z[2] = 0.0
    value, gradient = evaluate(divergence, z, z)
    assert value.abs().max() < 1e-12 and gradient.abs().max() < 1e-12


LOGIT = st.floats(-100, 100) | st.just(-math.inf)


@EVERY_DIVERGENCE
@quick
@given(st.lists(st.tuples(LOGIT, LOGIT), min_size=1, max_size=8))
def test_values_are_not_negative(divergence, logits):
    z, z_p = torch.tensor([(0.0, 0.0), *logits], dtype=torch.float64).T[:, None]
    value, gradient = evaluate(divergence, z, z_p)
    assert value >= -1e-12 and gradient.isfinite().all()


@EVERY_DIVERGENCE
def test_a_constant_added_to_the_logits_changes_nothing(divergence):
    z, z_p = random_logits(1, 4, 9), random_logits(2, 4, 9)
    for one, other in zip(
        evaluate(divergence, z, z_p), evaluate(divergence, z + 7, z_p - 9), strict=True
    ):
        assert_close(one, other)


F_DIVERGENCES = [d for d in BUILT if d.name not in ("alpha_beta", "adaptive_kl", "logit_mse")]


@pytest.mark.parametrize("divergence", F_DIVERGENCES, ids=str)
def test_merged_tokens_never_have_a_larger_divergence(divergence):
    """A few tokens and a tail bucket give a lower bound."""
    z, z_p = random_logits(1, 50, 9, spread=2.0), random_logits(2, 50, 9, spread=2.0)
    merged = [torch.cat([x[:, :4], x[:, 4:].logsumexp(-1, keepdim=True)], dim=-1) for x in (z, z_p)]
    assert (evaluate(divergence, *merged)[0] <= evaluate(divergence, z, z_p)[0] + 1e-12).all()


@pytest.mark.parametrize(
    ("name", "parameters", "bound"),
    [
        ("jsd", {"beta": 0.5}, math.log(2)),
        ("jsd", {"beta": 0.1}, -0.1 * math.log(0.1) - 0.9 * math.log(0.9)),
        ("tvd", {}, 1.0),
        ("skew_forward_kl", {"alpha": 0.1}, -math.log(0.1)),
        ("skew_reverse_kl", {"alpha": 0.1}, -math.log(0.1)),
        ("alpha_beta", {"alpha": 0.5, "beta": 0.5}, 4.0),
        ("alpha_beta", {"alpha": 0.2, "beta": 0.7}, 9**0.1 / 0.14),
    ],
)
def test_bounds(name, parameters, bound):
    divergence = build_divergence(name, parameters)
    z, z_p = (random_logits(seed, 200, 9, spread=30.0) for seed in (1, 2))
    value, _ = evaluate(divergence, z, z_p)
    assert 0.3 * bound < value.max() <= bound + 1e-12
    if parameters.get("beta") != 0.7:  # reached where nothing is shared
        z[:, 4:] = z_p[:, :4] = -torch.inf
        value, _ = evaluate(divergence, z, z_p)
        assert_close(value, torch.full_like(value, bound))


@pytest.mark.parametrize(
    ("name", "parameters", "factor", "limit", "limit_parameters"),
    [
        ("jsd", {"beta": 1e-7}, 1e7, "forward_kl", {}),
        ("jsd", {"beta": 1 - 1e-7}, 1e7, "reverse_kl", {}),
        ("skew_forward_kl", {"alpha": 1e-7}, 1.0, "forward_kl", {}),
        ("skew_reverse_kl", {"alpha": 1e-7}, 1.0, "reverse_kl", {}),
        ("alpha_beta", {"alpha": 1, "beta": 0}, 1.0, "forward_kl", {}),
        ("alpha_beta", {"alpha": 0, "beta": 1}, 1.0, "reverse_kl", {}),
        ("alpha_beta", {"alpha": 1, "beta": 1e-6}, 1.0, "forward_kl", {}),
        ("alpha_beta", {"alpha": 1e-6, "beta": 1}, 1.0, "reverse_kl", {}),
        ("alpha_beta", {"alpha": 0.6, "beta": 1e-6}, 1.0, "alpha_beta", {"alpha": 0.6, "beta": 0}),
        ("alpha_beta", {"alpha": 1e-6, "beta": 0.6}, 1.0, "alpha_beta", {"alpha": 0, "beta": 0.6}),
        ("alpha_beta", {"alpha": 1e-6, "beta": 2e-6}, 1.0, "alpha_beta", {"alpha": 0, "beta": 0}),
        ("alpha_beta", {"alpha": 1e-6, "beta": 0}, 1.0, "alpha_beta", {"alpha": 0, "beta": 0}),
        ("symmetric", {"forward_weight": 1, "reverse_weight": 0}, 1.0, "forward_kl", {}),
        ("symmetric", {"forward_weight": 0, "reverse_weight": 1}, 1.0, "reverse_kl", {}),
    ],
)
def test_limits(name, parameters, factor, limit, limit_parameters):
    z, z_p = random_logits(1, 4, 9), random_logits(2, 4, 9)
    near = evaluate(build_divergence(name, parameters), z, z_p)
    for one, other in zip(
        near, evaluate(build_divergence(limit, limit_parameters), z, z_p), strict=True
    ):
        torch.testing.assert_close(factor * one, other, atol=1e-4, rtol=1e-4)


def test_logit_mse_is_the_forward_kl_at_a_high_temperature():
    z, z_p, temperature = random_logits(1, 4, 9), random_logits(2, 4, 9), 1e4
    value, gradient = evaluate(build_divergence("logit_mse", {}), z, z_p)
    tempered = evaluate(build_divergence("forward_kl", {}), z / temperature, z_p / temperature)
    assert_close(value, temperature**2 * tempered[0], 1e-3)
    assert_close(gradient, temperature * tempered[1], 1e-3)


def extreme_logits() -> tuple[Tensor, Tensor]:
    """Rows of three tokens: all pairs of extremes for q and for p. No token has q = p by chance."""
    pairs = torch.cartesian_prod(*[torch.tensor(EXTREME, dtype=torch.float64)] * 4)
    z, z_p = torch.nn.functional.pad(pairs.unflatten(-1, (2, 2)), (1, 0)).unbind(1)
    return z.clone(), z_p + torch.tensor([0.0, 0.25, 0.5])


@EVERY_DIVERGENCE
def test_excluded_and_underflowed_tokens(divergence):
    """The value is that of the plain formula where the formula is finite.

    The gradient is that of autograd through the floor, so that an excluded token has none.
    """
    z, z_p = extreme_logits()
    value, gradient = evaluate(divergence, z, z_p)
    assert value.isfinite().all() and gradient.isfinite().all()
    assert not gradient[z == -torch.inf].any()
    plain = PLAIN[divergence.name](z.softmax(-1), z_p.softmax(-1), **vars(divergence))
    finite = plain.isfinite()
    assert finite.sum() > 80
    if divergence.name != "logit_mse":
        assert_close(value[finite], plain[finite])
    if divergence not in DETACHED:
        z.requires_grad_()
        through_floor = divergence.value(log_softmax(z), log_softmax(z_p)).sum()
        assert_close(gradient, torch.autograd.grad(through_floor, z)[0])


@EVERY_DIVERGENCE
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision_gives_about_the_same(divergence, dtype):
    """Half precision is raised to float32, whose numbers near `LOG_ZERO` are 1e-3 apart."""
    usual = (random_logits(seed, 4, 3000, spread=3.0) for seed in (1, 2))
    for (z, z_p), tolerance in ((usual, 2e-5), (extreme_logits(), 1e-3)):
        z, z_p = z.to(dtype), z_p.to(dtype)
        exact = evaluate(divergence, z.double(), z_p.double())
        for one, other in zip(evaluate(divergence, z, z_p), exact, strict=True):
            torch.testing.assert_close(one.double(), other, atol=tolerance, rtol=tolerance)


@dataclass(frozen=True)
class SquareRoots(Divergence):
    """2 sum (sqrt p - sqrt q)^2, which is the alpha-beta divergence at (1/2, 1/2)."""

    name = "square_roots"

    def value(self, log_q: Tensor, log_p: Tensor) -> Tensor:
        return 2 * ((log_q / 2).exp() - (log_p / 2).exp()).square().sum(-1)


def test_a_divergence_without_a_closed_form_has_its_gradient_by_autograd():
    alpha_beta = build_divergence("alpha_beta", {"alpha": 0.5, "beta": 0.5})
    inputs = [x.requires_grad_() for x in extreme_logits()]
    with torch.no_grad():
        for one, other in zip(
            evaluate(SquareRoots(), *inputs), evaluate(alpha_beta, *inputs), strict=True
        ):
            assert_close(one, other)


@pytest.mark.parametrize("divergence", [d for d in BUILT if d not in DETACHED], ids=str)
def test_the_closed_form_is_the_default_gradient(divergence):
    """`value` works under autograd too, in spite of its operations in place."""
    log_q, log_p = (log_softmax(z) for z in extreme_logits())
    value = divergence.value(log_q, log_p)
    by_autograd = Divergence.gradient(divergence, log_q, log_p, value)
    assert_close(divergence.gradient(log_q, log_p, value), by_autograd)


def test_logit_mse_leaves_out_what_a_model_excludes():
    divergence = build_divergence("logit_mse", {})
    z, z_p = random_logits(1, 4, 9), random_logits(2, 4, 9)
    expected = evaluate(divergence, z[:, 3:], z_p[:, 3:])
    z[:, :2] = z_p[:, 1:3] = -torch.inf
    value, gradient = evaluate(divergence, z, z_p)
    assert_close(value, expected[0])
    assert_close(gradient[:, 3:], expected[1])
    assert not gradient[:, :3].any()


@pytest.mark.parametrize(
    ("p", "q", "mu", "weight"),
    [
        # The head is token 4: its gap is 0.1 of 0.4. A mask in sorted order would choose token 0.
        ((0.05, 0.30, 0.10, 0.20, 0.35), (0.05, 0.20, 0.10, 0.40, 0.25), 0.5, 0.25),
        # The head is tokens 4 and 1 (mass 0.65): 0.2 of 0.4.
        ((0.05, 0.30, 0.10, 0.20, 0.35), (0.05, 0.20, 0.10, 0.40, 0.25), 0.7, 0.5),
        # The most likely token is in the head, although its mass is above mu.
        ((0.10, 0.80, 0.10), (0.20, 0.60, 0.20), 0.5, 0.5),
        # Equally likely tokens are in the head together (0 and 2), or in the rest together (1, 3).
        ((0.30, 0.20, 0.30, 0.20), (0.20, 0.30, 0.40, 0.10), 0.5, 0.5),
        ((0.15, 0.15, 0.40, 0.30), (0.05, 0.25, 0.10, 0.60), 0.9, 0.75),
        # No gap at all.
        ((0.10, 0.80, 0.10), (0.10, 0.80, 0.10), 0.5, 0.5),
    ],
)
def test_the_weight_of_adaptive_kl(p, q, mu, weight):
    log_p, log_q = (torch.tensor([x], dtype=torch.float64).log() for x in (p, q))
    divergence = build_divergence("adaptive_kl", {"mu": mu})
    symmetric = build_divergence(
        "symmetric", {"forward_weight": weight, "reverse_weight": 1 - weight}
    )
    for one, other in zip(
        evaluate(divergence, log_q, log_p), evaluate(symmetric, log_q, log_p), strict=True
    ):
        assert_close(one, other)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("jds", {}, "unknown divergence 'jds'. Did you mean 'jsd'. Allowed: forward_kl, "),
        ("jsd", {"bta": 0.5}, "parameter 'bta' of the divergence 'jsd'. Did you mean 'beta'. A"),
        ("tvd", {"beta": 0.5}, "'tvd' has no parameters: remove 'beta'"),
        ("jsd", {"beta": 0}, "jsd: beta=0 is not allowed: .* Use forward_kl"),
        ("jsd", {"beta": 1.0}, "jsd: beta=1.0 is not allowed: .*reverse_kl"),
        ("skew_forward_kl", {"alpha": 0.0}, "alpha=0.0 is not allowed: .* Use forward_kl"),
        ("skew_reverse_kl", {"alpha": 1}, "alpha=1 is not allowed: .* Use reverse_kl"),
        ("skew_reverse_kl", {"detach_mixture": 2}, "detach_mixture=2 .* give true or false"),
        ("alpha_beta", {"alpha": -0.1}, "alpha=-0.1 is not allowed: give a number from 0 on"),
        ("alpha_beta", {"beta": math.inf}, "beta=inf is not allowed: give a number from 0 on"),
        ("adaptive_kl", {"mu": math.nan}, "mu=nan is not allowed: give a number above 0"),
        ("adaptive_kl", {"mu": "half"}, "mu='half' is not allowed: give a number above 0"),
        ("symmetric", {"forward_weight": -1}, "forward_weight=-1 is not allowed: give a number"),
        ("symmetric", {"forward_weight": 0, "reverse_weight": 0}, "because forward_weight is 0"),
    ],
)
def test_wrong_names_and_parameters_are_refused(name, parameters, message):
    with pytest.raises(ValueError, match=message):
        build_divergence(name, parameters)
