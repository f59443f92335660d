"""Terms from hidden states in chunks equal the plain ones from logits, values and gradients."""

import pytest
import torch
from torch import Tensor

from minillm.objectives import distributions
from minillm.objectives.chunked import Values, vocabulary_loss, vocabulary_terms
from minillm.objectives.head import Head
from minillm.objectives.targets import HeadTargets
from minillm.objectives.terms import Terms
from tests.objectives.small_heads import (
    CHUNKS,
    HEADS,
    LOG_PROBS,
    TERMS,
    TOKENS,
    VOCAB,
    LargestTensor,
    linear,
    random,
    random_head,
)

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6, torch.bfloat16: 0.03}


def plain_terms(hidden, head, ids, terms, targets=None) -> Values:
    log_q = distributions.log_softmax(head.logits(hidden))
    values = {
        "log_probs": distributions.token_log_probs(log_q, ids),
        "entropy": distributions.entropy(log_q),
    }
    if targets:
        log_p = distributions.log_softmax(targets.head.logits(targets.hidden))
        values["reverse_kl"] = (log_q.exp() * (log_q - log_p)).sum(-1)
        values["forward_kl"] = (log_p.exp() * (log_p - log_q)).sum(-1)
    return {name: values[name] for name in terms}


def plain_loss(hidden, head, ids, terms, loss, given=(), targets=None):
    return loss(plain_terms(hidden, head, ids, terms, targets), *given).sum()


def nonlinear(values: Values, weight: Tensor, *_: Tensor) -> Tensor:
    """Three terms only, two of them in a product."""
    weight = weight.to(values["log_probs"].dtype)
    product = values["reverse_kl"] * values["entropy"]
    return weight * values["log_probs"].exp() + product.sqrt()


def compare(hidden: Tensor, head: Head, teacher_hidden: Tensor, teacher_head: Head, loss,
            terms: Terms, chunk_size: int | None, tolerance: float) -> None:  # fmt: skip
    """The sum, its terms, and gradients by all of the student's tensors."""

    def assert_close(one: Tensor, other: Tensor) -> None:
        assert one.dtype == other.dtype and one.isfinite().all()
        # A sum over tokens: its rounding is that of its size.
        size = max(1.0, float(other.detach().abs().max()))
        torch.testing.assert_close(one / size, other / size, atol=tolerance, rtol=tolerance)

    ids, given = torch.arange(len(hidden)) % VOCAB, random(5, len(TERMS), len(hidden))
    student = [x for x in (hidden, head.weight, head.bias) if x is not None]
    teacher = [x for x in (teacher_hidden, teacher_head.weight) if x is not None]
    for tensor in student + teacher:
        tensor.requires_grad_()
    inputs, targets = (hidden, head, ids), HeadTargets(teacher_hidden, teacher_head)
    shared = {"terms": terms, "targets": targets, "chunk_size": chunk_size}
    total, loss_values = vocabulary_loss(*inputs, loss=loss, given=given, **shared)
    values = vocabulary_terms(*inputs, **shared)
    for name, expected in plain_terms(*inputs, terms, targets).items():
        value = loss_values[name]
        assert value.dtype == expected.dtype != torch.bfloat16 and not value.requires_grad
        torch.testing.assert_close(value, expected, atol=tolerance, rtol=tolerance)
        assert torch.equal(values[name], value)
    expected = plain_loss(*inputs, terms, loss, given, targets)
    assert_close(total, expected)
    gradients = torch.autograd.grad(total / 3, student + teacher, allow_unused=True)
    assert gradients[len(student) :] == (None,) * len(teacher)
    for one, other in zip(gradients, torch.autograd.grad(expected / 3, student), strict=False):
        assert_close(one, other)


@CHUNKS
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize(
    ("loss", "terms"),
    [(linear, {name: term}) for name, term in TERMS.items()]
    + [(linear, TERMS), (nonlinear, TERMS)],
)
def test_values_and_gradients_are_the_plain_ones(chunk_size, dtype, kind, loss, terms):
    head, teacher = random_head(1, 5, dtype, **kind), random_head(4, 8, dtype, **kind)
    states = random(2, TOKENS, 5, dtype=dtype), random(3, TOKENS, 8, dtype=dtype)
    compare(states[0], head, states[1], teacher, loss, terms, chunk_size, TOLERANCE[dtype])


@CHUNKS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_excluded_tokens(chunk_size, dtype):
    """By -inf, and by less: further down than `LOG_ZERO`. Token 4 by both; 5 and 9 by one each."""
    head, teacher = (random_head(seed, 5, dtype, bias=True) for seed in (1, 4))
    for bias, token in ((head.bias, 5), (teacher.bias, 9), (head.bias, 4), (teacher.bias, 4)):
        bias[token] = -torch.inf
    head.bias[2] = teacher.bias[1] = -3e4
    states = (random(seed, TOKENS, 5, dtype=dtype) for seed in (2, 3))
    inputs = next(states), head, next(states), teacher
    compare(*inputs, linear, TERMS, chunk_size, 1e-5 if dtype is torch.float32 else 1e-12)


def log_probs(values: Values) -> Tensor:
    return values["log_probs"]


def test_a_tied_head_adds_its_gradient_to_the_embeddings():
    weight, ids = random(1, VOCAB, 5).requires_grad_(), torch.arange(TOKENS) % VOCAB
    hidden, head = weight[ids.flip(0)].tanh(), Head(weight, None, VOCAB)
    total, _ = vocabulary_loss(hidden, head, ids, terms=LOG_PROBS, loss=log_probs)
    gradients = [
        torch.autograd.grad(loss, weight, retain_graph=True)[0]
        for loss in (total, plain_loss(hidden, head, ids, LOG_PROBS, log_probs))
    ]
    torch.testing.assert_close(*gradients, atol=1e-12, rtol=0)


def test_no_tokens():
    head = random_head(1, 5)
    head.weight.requires_grad_()
    hidden, ids = random(2, 0, 5).requires_grad_(), torch.arange(0)
    total, values = vocabulary_loss(hidden, head, ids, terms=LOG_PROBS, loss=log_probs)
    total.backward()
    assert total == 0 and values["log_probs"].shape == (0,)
    assert head.weight.grad.shape == head.weight.shape and not head.weight.grad.any()


def test_what_cannot_be_trained_on():
    """Terms by themselves; and a loss for the second time, as its gradients are gone."""
    head, hidden, ids = random_head(1, 5, torch.float64), random(2, 3, 5), torch.arange(3)
    hidden.requires_grad_()
    with pytest.raises(RuntimeError, match="does not require grad"):
        vocabulary_terms(hidden, head, ids, terms=LOG_PROBS)["log_probs"].sum().backward()
    total, _ = vocabulary_loss(hidden, head, ids, terms=LOG_PROBS, loss=log_probs)
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="once only"):
        total.backward()


def test_what_cannot_be_asked_for():
    head, hidden, ids = random_head(1, 5, torch.float64), random(2, 3, 5), torch.arange(3)
    with pytest.raises(ValueError, match="no terms are given"):
        vocabulary_terms(hidden, head, ids, terms={})
    with pytest.raises(ValueError, match="reverse_kl, forward_kl compare with a teacher"):
        vocabulary_terms(hidden, head, ids, terms=TERMS)


def test_no_tensor_is_larger_than_a_chunk():
    vocab, tokens, chunk_size = 1000, 64, 8
    hidden, weight = random(1, tokens, 4).requires_grad_(), random(2, vocab, 4).requires_grad_()
    inputs = hidden, Head(weight, None, vocab), torch.arange(tokens)
    targets = HeadTargets(random(4, tokens, 4), Head(random(3, vocab, 4), None, vocab))
    settings = {"terms": TERMS, "targets": targets, "chunk_size": chunk_size}
    with LargestTensor() as seen:
        vocabulary_terms(*inputs, **settings)
    assert seen.numel == chunk_size * vocab
    with LargestTensor() as seen:
        given = [torch.ones(tokens)] * len(TERMS)
        vocabulary_loss(*inputs, loss=linear, given=given, **settings)[0].backward()
    assert seen.numel == chunk_size * vocab
