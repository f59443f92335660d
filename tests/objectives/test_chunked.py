"""Terms from hidden states in chunks equal the plain ones from logits, values and gradients."""

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from minillm.objectives import divergences
from minillm.objectives.chunked import (
    TERMS,
    Head,
    VocabularyTerms,
    vocabulary_loss,
    vocabulary_terms,
)

TOKENS, VOCAB, ROWS = 11, 13, 16  # rows after the vocabulary are padding
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6, torch.bfloat16: 0.03}
HEADS = {
    "plain": {},
    "bias": {"bias": True},
    "scale": {"scale": 0.3, "bias": True},
    "softcap": {"softcap": 2.0, "scale": 1.7},
}
CHUNKS = pytest.mark.parametrize("chunk_size", [1, 7, None])


def random(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def random_head(seed: int, width: int, dtype: torch.dtype, bias: bool = False, **rest) -> Head:
    weight = random(seed, ROWS, width, dtype=dtype) / 2
    return Head(weight, random(seed + 1, ROWS, dtype=dtype) if bias else None, VOCAB, **rest)


def plain_terms(hidden, head, ids, terms, teacher=None):
    log_q = divergences.log_softmax(head.logits(hidden))
    found = {
        "log_probs": divergences.token_log_probs(log_q, ids),
        "entropy": divergences.entropy(log_q),
    }
    if teacher:
        log_p = divergences.log_softmax(teacher[1].logits(teacher[0]))
        found["reverse_kl"] = divergences.reverse_kl(log_q, log_p)
        found["forward_kl"] = divergences.forward_kl(log_q, log_p)
    return VocabularyTerms(**{name: found[name] for name in terms})


def plain_loss(hidden, head, ids, terms, loss, given=(), teacher=None):
    return loss(plain_terms(hidden, head, ids, terms, teacher), *given).sum()


def linear(terms: VocabularyTerms, *weights: Tensor) -> Tensor:
    """A weight of each token for each of the terms."""
    values = [getattr(terms, name) for name in TERMS if getattr(terms, name) is not None]
    return sum(weight.to(x.dtype) * x for weight, x in zip(weights, values, strict=False))


def nonlinear(terms: VocabularyTerms, weight: Tensor, *_: Tensor) -> Tensor:
    """Of three terms only, two of them in a product."""
    weight = weight.to(terms.log_probs.dtype)
    return weight * terms.log_probs.exp() + (terms.reverse_kl * terms.entropy).sqrt()


def compare(hidden: Tensor, head: Head, teacher_hidden: Tensor, teacher_head: Head, loss,
            terms: tuple[str, ...], chunk_size: int | None, tolerance: float) -> None:  # fmt: skip
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
    inputs, states = (hidden, head, ids, terms), (teacher_hidden, teacher_head)
    total, found = vocabulary_loss(*inputs, loss, given, states, chunk_size)
    values = vocabulary_terms(*inputs, states, chunk_size)
    plain = plain_terms(*inputs, states)
    for name in terms:
        value, expected = getattr(found, name), getattr(plain, name)
        assert value.dtype == expected.dtype != torch.bfloat16 and not value.requires_grad
        torch.testing.assert_close(value, expected, atol=tolerance, rtol=tolerance)
        assert torch.equal(getattr(values, name), value)
    expected = plain_loss(*inputs, loss, given, states)
    assert_close(total, expected)
    gradients = torch.autograd.grad(total / 3, student + teacher, allow_unused=True)
    assert gradients[len(student) :] == (None,) * len(teacher)
    for one, other in zip(gradients, torch.autograd.grad(expected / 3, student), strict=False):
        assert_close(one, other)


@CHUNKS
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize(
    ("loss", "terms"), [(linear, (name,)) for name in TERMS] + [(linear, TERMS), (nonlinear, TERMS)]
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


def log_probs(terms: VocabularyTerms) -> Tensor:
    return terms.log_probs


def test_a_tied_head_adds_its_gradient_to_the_embeddings():
    weight, ids = random(1, VOCAB, 5).requires_grad_(), torch.arange(TOKENS) % VOCAB
    hidden, head = weight[ids.flip(0)].tanh(), Head(weight, None, VOCAB)
    inputs = hidden, head, ids, ("log_probs",), log_probs
    gradients = [
        torch.autograd.grad(loss, weight, retain_graph=True)[0]
        for loss in (vocabulary_loss(*inputs)[0], plain_loss(*inputs))
    ]
    torch.testing.assert_close(*gradients, atol=1e-12, rtol=0)


def test_frozen_parts_and_no_tokens():
    head = random_head(1, 5, torch.float64, bias=True)
    hidden, ids = random(2, TOKENS, 5).requires_grad_(), torch.arange(TOKENS)
    vocabulary_loss(hidden, head, ids, ("log_probs",), log_probs)[0].backward()
    assert hidden.grad.any() and head.weight.grad is None and head.bias.grad is None
    head.weight.requires_grad_()
    total, found = vocabulary_loss(hidden[:0], head, ids[:0], ("log_probs",), log_probs)
    total.backward()
    assert total == 0 and found.log_probs.shape == (0,)
    assert head.weight.grad.shape == head.weight.shape and not head.weight.grad.any()


def test_what_cannot_be_trained_on():
    """Terms by themselves; and a loss for the second time, as its gradients are gone."""
    head, hidden, ids = random_head(1, 5, torch.float64), random(2, 3, 5), torch.arange(3)
    hidden.requires_grad_()
    with pytest.raises(RuntimeError, match="does not require grad"):
        vocabulary_terms(hidden, head, ids, ("log_probs",)).log_probs.sum().backward()
    total, _ = vocabulary_loss(hidden, head, ids, ("log_probs",), log_probs)
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="once only"):
        total.backward()


def test_what_cannot_be_asked_for():
    head, hidden, ids = random_head(1, 5, torch.float64), random(2, 3, 5), torch.arange(3)
    for terms in ((), ("perplexity",)):
        with pytest.raises(ValueError, match="some of log_probs, reverse_kl"):
            vocabulary_terms(hidden, head, ids, terms)
    with pytest.raises(ValueError, match="need teacher="):
        vocabulary_terms(hidden, head, ids, ("reverse_kl",))


def test_under_autocast_logits_have_its_type_and_terms_do_not():
    head = random_head(1, 5, torch.float32)
    head.weight.requires_grad_()
    hidden, ids = random(2, TOKENS, 5, dtype=torch.float32), torch.arange(TOKENS)
    inputs = hidden, head, ids, ("log_probs",)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, found = vocabulary_loss(*inputs, log_probs, chunk_size=4)
        values, expected = vocabulary_terms(*inputs, chunk_size=4), plain_terms(*inputs)
    for value in (found.log_probs, values.log_probs):
        assert torch.equal(value, expected.log_probs)
        assert value.dtype == torch.float32
    gradients = [torch.autograd.grad(x, head.weight)[0] for x in (total, expected.log_probs.sum())]
    assert gradients[0].dtype == torch.float32
    torch.testing.assert_close(*gradients, atol=0.05, rtol=0.05)


class LargestTensor(TorchDispatchMode):
    """Numbers in the largest tensor that any operation inside returned."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        sizes = [x.numel() for x in tree_leaves(result) if isinstance(x, Tensor)]
        self.numel = max([self.numel, *sizes])
        return result


def test_no_tensor_is_larger_than_a_chunk():
    vocab, tokens, chunk_size = 1000, 64, 8
    hidden, weight = random(1, tokens, 4).requires_grad_(), random(2, vocab, 4).requires_grad_()
    inputs = hidden, Head(weight, None, vocab), torch.arange(tokens), TERMS
    teacher = random(4, tokens, 4), Head(random(3, vocab, 4), None, vocab)
    with LargestTensor() as seen:
        vocabulary_terms(*inputs, teacher, chunk_size)
    assert seen.numel == chunk_size * vocab
    with LargestTensor() as seen:
        given = [torch.ones(tokens)] * len(TERMS)
        vocabulary_loss(*inputs, linear, given, teacher, chunk_size)[0].backward()
    assert seen.numel == chunk_size * vocab
