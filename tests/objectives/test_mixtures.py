"""Targets that are the mixture of several teachers, arithmetic or geometric."""

import math

import pytest
import torch
from torch import Tensor

from minillm.objectives.chunked import vocabulary_loss
from minillm.objectives.distributions import log_softmax
from minillm.objectives.divergences import ForwardKL, ReverseKL, build_divergence
from minillm.objectives.precision import LOG_ZERO
from minillm.objectives.targets import (
    HeadTargets,
    LogitsChunk,
    MixtureChunk,
    MixtureTargets,
    Targets,
    top_k_targets,
)
from minillm.objectives.terms import DivergenceTerm
from tests.objectives.plain_divergences import EXTREME, assert_close
from tests.objectives.small_heads import (
    CHUNKS,
    DEFAULTS,
    EVERY_DIVERGENCE,
    TOKENS,
    VOCAB,
    WEIGHTS,
    assert_loss_is,
    plain_divergence,
    random,
    random_head,
    teacher_logits,
    three_teachers,
)

BOTH_MIXTURES = pytest.mark.parametrize("geometric", [False, True], ids=["arithmetic", "geometric"])


def mixed(p: list[Tensor], weights: tuple[float, ...], geometric: bool) -> Tensor:
    """The probabilities of the mixture of some probabilities."""
    if not geometric:
        return sum(w * x for w, x in zip(weights, p, strict=True))
    product = math.prod(x**w for w, x in zip(weights, p, strict=True))
    return product / product.sum(-1, keepdim=True)


def probabilities(targets: HeadTargets, temperature: float = 1.0) -> Tensor:
    return (teacher_logits(targets) / temperature).softmax(-1)


def log_p_of(targets: Targets, temperature: float = 1.0) -> Tensor:
    chunk = targets.chunk(slice(None))
    return chunk.pair(slice(None), torch.zeros(TOKENS, VOCAB), temperature)[1]


@CHUNKS
@BOTH_MIXTURES
@pytest.mark.parametrize("temperatures", [(1.0, 1.0), (1.3, 1.7)], ids=str)
def test_divergences_from_mixtures(temperatures, geometric, chunk_size):
    parts = three_teachers()
    terms = {str(divergence): DivergenceTerm(divergence, *temperatures) for divergence in DEFAULTS}
    p = mixed([probabilities(part, temperatures[1]) for part in parts], WEIGHTS, geometric)
    assert_loss_is(
        lambda z: {name: plain_divergence(term, z, p) for name, term in terms.items()},
        random(2, TOKENS, 5), random_head(1, 5, bias=True),
        terms=terms, targets=MixtureTargets(parts, WEIGHTS, geometric), chunk_size=chunk_size,
    )  # fmt: skip


def value_and_gradient(divergence, targets: Targets) -> tuple[Tensor, Tensor]:
    hidden = random(2, TOKENS, 5).requires_grad_()
    total, values = vocabulary_loss(
        hidden, random_head(1, 5), torch.arange(TOKENS), targets=targets, chunk_size=4,
        terms={"x": DivergenceTerm(divergence, 1.3, 1.7)}, loss=lambda values: values["x"],
    )  # fmt: skip
    return values["x"], torch.autograd.grad(total, hidden)[0]


@pytest.mark.parametrize(("divergence", "geometric"), [(ForwardKL(), False), (ReverseKL(), True)])
def test_the_kl_to_a_mixture_is_the_weighted_sum_of_kls_up_to_a_constant(divergence, geometric):
    parts = three_teachers()
    value, gradient = value_and_gradient(divergence, MixtureTargets(parts, WEIGHTS, geometric))
    each = [value_and_gradient(divergence, part) for part in parts]
    sums = [sum(w * x for w, x in zip(WEIGHTS, xs, strict=True)) for xs in zip(*each, strict=True)]
    assert_close(gradient, sums[1])
    # The constant does not depend on the student: it is the weighted sum at q = mixture.
    p = [probabilities(part, 1.7) for part in parts]
    mixture = mixed(p, WEIGHTS, geometric)
    pairs = [(x, mixture) if divergence == ForwardKL() else (mixture, x) for x in p]
    kls = [(a * (a / b).log()).sum(-1) for a, b in pairs]
    constant = sum(w * x for w, x in zip(WEIGHTS, kls, strict=True))
    assert_close(value, sums[0] - 1.3**2 * constant)
    assert (constant > 1e-3).all()


@BOTH_MIXTURES
def test_mixtures_of_mixtures(geometric):
    a, b, c = three_teachers()
    inner = MixtureTargets([a, b], (0.25, 0.75), geometric)
    nested = MixtureTargets([inner, c], (0.4, 0.6), geometric)
    flat = MixtureTargets([a, b, c], (0.1, 0.3, 0.6), geometric)
    assert_close(log_p_of(nested, 1.7), log_p_of(flat, 1.7))
    other = MixtureTargets([inner, c], (0.4, 0.6), not geometric)
    p = mixed([probabilities(x, 1.7) for x in (a, b)], (0.25, 0.75), geometric)
    expected = mixed([p, probabilities(c, 1.7)], (0.4, 0.6), not geometric)
    assert_close(log_p_of(other, 1.7).exp(), expected)


@BOTH_MIXTURES
def test_the_mixture_of_one_teacher_is_the_teacher(geometric):
    (teacher, *_) = three_teachers()
    for targets in (MixtureTargets([teacher], [1.0], geometric),
                    MixtureTargets([teacher] * 2, (0.3, 0.7), geometric)):  # fmt: skip
        assert_close(log_p_of(targets, 1.7), log_p_of(teacher, 1.7), 1e-12)


@pytest.mark.parametrize(
    "weights", [(), (1.0,), (0.5, 0.6), (1.0, 0.0), (1.5, -0.5), (0.5, math.nan)]
)
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(ValueError, match="do not fit 2 teachers: give each a weight above 0"):
        MixtureTargets(three_teachers()[:2], weights)


def test_teachers_without_a_whole_distribution_are_refused():
    teacher = three_teachers()[0]
    top = top_k_targets(teacher, TOKENS, 3, 1.0, 4)
    nested = MixtureTargets([MixtureTargets([top], [1.0]), teacher], (0.5, 0.5))
    for targets in (MixtureTargets([teacher, top], (0.5, 0.5)), nested):
        with pytest.raises(ValueError, match=r"whole distribution .* set teacher.top_k=null"):
            targets.chunk(slice(0, 2))


def mixture_of_logits(logits: list[Tensor], weights, geometric: bool) -> MixtureChunk:
    return MixtureChunk([LogitsChunk(x) for x in logits], weights, geometric)


# Without care, the sum of the weights is above 1 for the first in float32 and for the second in
# float64, so that the mixture is above the floor where all teachers are at the floor.
@pytest.mark.parametrize("weights", [(0.8, 0.1, 0.1), (0.2, 0.6, 0.2), (0.001, 0.009, 0.99)])
@BOTH_MIXTURES
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_excluded_tokens(geometric, dtype, weights):
    """All teachers exclude token 0, the first excludes token 1; also far below the floor."""
    z, *logits = random(1, 4, 20, 9, dtype=dtype)
    for x in logits:
        x[:, 0] = -torch.inf
    logits[0][:, 1] = -3e4
    chunk = mixture_of_logits(logits, weights, geometric)
    log_q, log_p = chunk.pair(slice(None), log_softmax(z), 1.0)
    excluded = [0, 1] if geometric else [0]
    assert (log_p[:, excluded] == LOG_ZERO).all() and log_p.dtype == dtype
    p = mixed([x.double().softmax(-1) for x in logits], weights, geometric)
    assert_close(log_p.double().exp(), p, 1e-6 if dtype == torch.float32 else 1e-12)
    left = [i for i in range(9) if i not in excluded]
    divergence = build_divergence("logit_mse", {})  # it counts every token that is not excluded
    expected = divergence.value(log_q[:, left], log_p[:, left])
    assert_close(divergence.value(log_q, log_p), expected, 1e-5)


@EVERY_DIVERGENCE
@BOTH_MIXTURES
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_underflow_and_teachers_with_nothing_in_common_are_finite(divergence, geometric, dtype):
    rows = torch.cartesian_prod(*[torch.tensor(EXTREME, dtype=dtype)] * 3)
    zeros = torch.zeros(len(rows), 2, dtype=dtype)
    z, one, other = (torch.cat([zeros, x], dim=-1) for x in rows.flip(0).split(1, dim=-1))
    one[:, 1], other[:, 0] = -torch.inf, 1.5
    for weights in ((0.5, 0.5), (0.001, 0.999)):
        chunk = mixture_of_logits([one, other], weights, geometric)
        pair = chunk.pair(slice(None), log_softmax(z), 1.0)
        value = divergence.value(*pair)
        gradient = divergence.gradient(*pair, value)
        assert value.isfinite().all() and gradient.isfinite().all()
        assert_close(pair[1].double().exp().sum(-1), torch.ones(len(rows)).double(), 1e-6)
    disjoint = [torch.full((1, 4), -torch.inf, dtype=dtype) for _ in range(2)]
    disjoint[0][:, :2], disjoint[1][:, 2:] = 0.0, 1.0
    pair = mixture_of_logits(disjoint, (0.3, 0.7), geometric).pair(
        slice(None), log_softmax(torch.arange(4.0, dtype=dtype)[None]), 1.0
    )
    value = divergence.value(*pair)
    assert value.isfinite().all() and divergence.gradient(*pair, value).isfinite().all()
