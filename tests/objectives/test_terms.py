"""Divergences at temperatures, through an output head, alone and several in one pass.

Everything is compared with autograd of plain formulas on the full final logits.
"""

from itertools import product

import pytest
import torch
from torch import Tensor

from minillm.objectives.chunked import Values, vocabulary_loss
from minillm.objectives.divergences import ForwardKL, ReverseKL, build_divergence
from minillm.objectives.head import Head
from minillm.objectives.targets import HeadTargets
from minillm.objectives.terms import DivergenceTerm, Entropy, TokenLogProb
from tests.objectives.plain_divergences import assert_close
from tests.objectives.small_heads import (
    CHUNKS,
    DEFAULTS,
    HEADS,
    TOKENS,
    VOCAB,
    LargestTensor,
    assert_loss_is,
    head_targets,
    linear,
    logits_head,
    plain_divergence,
    plain_logits,
    random,
    random_head,
    teacher_logits,
)

BUILT = [
    *DEFAULTS,
    build_divergence("jsd", {"beta": 0.1}),
    build_divergence("skew_reverse_kl", {"alpha": 0.6, "detach_mixture": True}),
    build_divergence("alpha_beta", {"alpha": 0, "beta": 0.4}),
]


def plain_values(terms, targets: HeadTargets, z: Tensor) -> Values:
    """The terms from the final logits of the student, in float64."""
    values = {}
    for name, term in terms.items():
        if isinstance(term, DivergenceTerm):
            teacher_temperature = term.teacher_temperature or term.temperature
            p = (teacher_logits(targets) / teacher_temperature).softmax(-1)
            values[name] = plain_divergence(term, z, p)
        elif isinstance(term, TokenLogProb):
            values[name] = z.log_softmax(-1)[torch.arange(len(z)), torch.arange(len(z)) % VOCAB]
        else:
            values[name] = torch.special.entr(z.softmax(-1)).sum(-1)
    return values


def check(terms, kind, chunk_size, *, teacher_kind=None, loss=linear, head=None, hidden=None):
    targets = head_targets(3, **(kind if teacher_kind is None else teacher_kind))
    assert_loss_is(
        lambda z: plain_values(terms, targets, z),
        random(2, TOKENS, 5) if hidden is None else hidden,
        head or random_head(1, 5, **kind),
        terms=terms,
        targets=targets,
        chunk_size=chunk_size,
        loss=loss,
    )


@CHUNKS
@pytest.mark.parametrize("kind", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("divergence", BUILT, ids=str)
def test_every_divergence_through_a_head(divergence, kind, chunk_size):
    check({"divergence": DivergenceTerm(divergence)}, kind, chunk_size)


TEMPERATURES = pytest.mark.parametrize(
    ("temperature", "teacher_temperature", "squared"),
    [(2.0, None, True), (2.0, None, False), (0.7, 3.0, True), (1.0, 2.0, False), (3.0, 1.0, True)],
)


@TEMPERATURES
@pytest.mark.parametrize("kinds", [*product(["bias", "softcap"], repeat=2)], ids=" ".join)
def test_temperatures_divide_the_final_logits(temperature, teacher_temperature, squared, kinds):
    terms = {
        str(divergence): DivergenceTerm(divergence, temperature, teacher_temperature, squared)
        for divergence in BUILT
    }
    check(terms, HEADS[kinds[0]], 7, teacher_kind=HEADS[kinds[1]])


SEVERAL = {
    "hard": TokenLogProb(),
    "soft": DivergenceTerm(ForwardKL(), 2.0),
    "reverse": DivergenceTerm(ReverseKL(), 3.0, 1.0),
    "other teacher temperature": DivergenceTerm(ReverseKL(), 3.0),
    "other student temperature": DivergenceTerm(ReverseKL(), 2.0, 1.0),
    "at one": DivergenceTerm(ReverseKL()),
    "jsd": DivergenceTerm(build_divergence("jsd", {"beta": 0.3}), 0.5, 2.0, squared=False),
    "entropy": Entropy(),
}


def products(values: Values, *weights: Tensor) -> Tensor:
    """A loss that is not linear in the terms, and leaves one of them out."""
    product = values["soft"] * values["reverse"] * weights[0]
    return product + (values["hard"].exp() - values["entropy"]).square() + values["jsd"].sqrt()


@CHUNKS
@pytest.mark.parametrize("kind", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("loss", [linear, products])
def test_several_terms_at_different_temperatures_in_one_pass(loss, kind, chunk_size):
    check(SEVERAL, kind, chunk_size, loss=loss)


@pytest.mark.parametrize("trained", [*product([True, False], repeat=3)][:-1], ids=str)
def test_frozen_parts_have_no_gradient_and_change_no_other(trained):
    hidden, head = random(2, TOKENS, 5), random_head(1, 5, **HEADS["scale"])
    tensors = hidden, head.weight, head.bias
    for tensor, requires_grad in zip(tensors, trained, strict=True):
        tensor.requires_grad_(requires_grad)
    check(SEVERAL, HEADS["scale"], 7, head=head, hidden=hidden)
    total, _ = vocabulary_loss(
        hidden, head, torch.zeros(TOKENS, dtype=torch.int64), terms=SEVERAL,
        targets=head_targets(3), loss=products, given=[torch.ones(TOKENS)],
    )  # fmt: skip
    total.backward()
    assert tuple(x.grad is not None for x in tensors) == trained


def test_the_gradient_of_a_frozen_head_is_not_computed():
    vocab, width, tokens, chunk_size = 40, 500, 20, 4
    hidden, weight = random(1, tokens, width).requires_grad_(), random(2, vocab, width)
    inputs = hidden, Head(weight, None, vocab), torch.arange(tokens)
    settings = {"terms": {"x": TokenLogProb()}, "loss": linear, "given": [torch.ones(tokens)]}
    with LargestTensor() as seen:
        vocabulary_loss(*inputs, **settings, chunk_size=chunk_size)[0].backward()
    assert seen.numel == hidden.numel() < weight.numel()


def test_the_gradient_of_tempered_kd():
    """T (q_T - p_T), from T^2 KL[p_T || q_T]; without the factor, (q_T - p_T) / T."""
    z, z_p, temperature = random(1, 4, 9).requires_grad_(), random(2, 4, 9), 2.5
    head, targets = logits_head(9), HeadTargets(random(2, 4, 9), logits_head(9))
    difference = (z / temperature).softmax(-1) - (z_p / temperature).softmax(-1)
    for squared, factor in ((True, temperature), (False, 1 / temperature)):
        terms = {"x": DivergenceTerm(ForwardKL(), temperature, None, squared)}
        total, _ = vocabulary_loss(
            z, head, torch.arange(4), terms=terms, targets=targets, loss=lambda values: values["x"]
        )
        (gradient,) = torch.autograd.grad(total, z)
        assert_close(gradient, factor * difference.detach())


def at(temperature: float, divergence, kind: dict) -> tuple[Tensor, ...]:
    """The values of T^2 D at T, and the gradients of their sum by hidden states and weight."""
    hidden, head = random(2, TOKENS, 5).requires_grad_(), random_head(1, 5, **kind)
    head.weight.requires_grad_()
    total, values = vocabulary_loss(
        hidden, head, torch.arange(TOKENS), terms={"x": DivergenceTerm(divergence, temperature)},
        targets=head_targets(3, **kind), loss=lambda values: values["x"],
    )  # fmt: skip
    return values["x"], *torch.autograd.grad(total, [hidden, head.weight])


@pytest.mark.parametrize("kind", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("name", ["forward_kl", "reverse_kl"])
def test_both_kls_tend_to_the_centred_logit_mse(name, kind):
    """T^2 KL -> 1 / (2 V) sum of squared differences of centred logits, for T -> infinity."""
    hidden, head = random(2, TOKENS, 5).requires_grad_(), random_head(1, 5, **kind)
    head.weight.requires_grad_()
    logits = plain_logits(hidden, head), teacher_logits(head_targets(3, **kind))
    z, z_p = (x - x.mean(-1, keepdim=True) for x in logits)
    limit = ((z - z_p) ** 2).sum(-1) / (2 * VOCAB)
    expected = limit.detach(), *torch.autograd.grad(limit.sum(), [hidden, head.weight])
    divergence = build_divergence(name, {})
    for near, nearer, exact in zip(
        at(1e3, divergence, kind), at(2e3, divergence, kind), expected, strict=True
    ):
        torch.testing.assert_close(near, exact, atol=1e-2, rtol=1e-2)
        # The distance from the limit is of order 1 / T.
        torch.testing.assert_close(2 * nearer - near, exact, atol=1e-5, rtol=1e-5)
    for temperature in (1.0, 7.0):  # it is its own limit
        for one, exact in zip(
            at(temperature, build_divergence("logit_mse", {}), kind), expected, strict=True
        ):
            assert_close(one, exact)


@pytest.mark.parametrize("kind", HEADS.values(), ids=HEADS)
def test_tempered_kd_at_temperature_1_is_kd(kind):
    """(1 - r) cross-entropy + r KL[p || q], with a soft part at T = 1 and the factor T^2 or not."""
    share, log_p = 0.3, teacher_logits(head_targets(3, **kind)).log_softmax(-1)
    for squared, teacher_temperature in product([True, False], [None, 1.0]):
        soft = DivergenceTerm(ForwardKL(), 1.0, teacher_temperature, squared)
        hidden, head = random(2, TOKENS, 5).requires_grad_(), random_head(1, 5, **kind)
        ids = torch.arange(TOKENS)
        total, _ = vocabulary_loss(
            hidden, head, ids, terms={"hard": TokenLogProb(), "soft": soft},
            loss=lambda values: share * values["soft"] - (1 - share) * values["hard"],
            targets=head_targets(3, **kind),
        )  # fmt: skip
        log_q = plain_logits(hidden, head).log_softmax(-1)
        cross_entropy = -log_q[ids, ids].sum()
        plain = (1 - share) * cross_entropy + share * (log_p.exp() * (log_p - log_q)).sum()
        assert_close(total, plain)
        for one, other in zip(
            torch.autograd.grad(total, hidden), torch.autograd.grad(plain, hidden), strict=True
        ):
            assert_close(one, other)
