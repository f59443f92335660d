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


def plain_terms(hidden, head, ids, terms, teacher_hidden=None, teacher_head=None):
    log_q = divergences.log_softmax(head.logits(hidden))
    found = {
        "log_probs": divergences.token_log_probs(log_q, ids),
        "entropy": divergences.entropy(log_q),
    }
    if teacher_head:
        log_p = divergences.log_softmax(teacher_head.logits(teacher_hidden))
        found["reverse_kl"] = divergences.reverse_kl(log_q, log_p)
        found["forward_kl"] = divergences.forward_kl(log_q, log_p)
    return VocabularyTerms(**{name: found[name] for name in terms})


def compare(hidden: Tensor, head: Head, teacher_hidden: Tensor, teacher_head: Head,
            terms: tuple[str, ...], chunk_size: int | None, tolerance: float) -> None:  # fmt: skip
    """Values and gradients by all of the student's tensors, for random weights of each token."""
    ids = torch.arange(len(hidden)) % VOCAB
    student = [x for x in (hidden, head.weight, head.bias) if x is not None]
    teacher = [x for x in (teacher_hidden, teacher_head.weight) if x is not None]
    for tensor in student + teacher:
        tensor.requires_grad_()
    found = vocabulary_terms(hidden, head, ids, terms, teacher_hidden, teacher_head, chunk_size)
    expected = plain_terms(hidden, head, ids, terms, teacher_hidden.detach(), teacher_head)
    losses = [0.0, 0.0]
    for seed, name in enumerate(terms):
        pair = getattr(found, name), getattr(expected, name)
        assert pair[0].dtype == pair[1].dtype != torch.bfloat16
        torch.testing.assert_close(*pair, atol=tolerance, rtol=tolerance)
        weights = random(seed, len(hidden), dtype=pair[0].dtype)
        losses = [loss + (weights * x).sum() for loss, x in zip(losses, pair, strict=True)]
    frozen = torch.autograd.grad(losses[0], teacher, allow_unused=True, retain_graph=True)
    assert frozen == (None,) * len(teacher)
    gradients = [torch.autograd.grad(loss, student, retain_graph=True) for loss in losses]
    again = torch.autograd.grad(losses[0], student)  # the kept chunk has not been used up
    for one, second, other in zip(*gradients[:1], again, gradients[1], strict=True):
        assert one.dtype == other.dtype and one.isfinite().all() and torch.equal(one, second)
        # A gradient by the weights is a sum over tokens: its rounding is that of its size.
        size = max(1.0, float(other.abs().max()))
        torch.testing.assert_close(one / size, other / size, atol=tolerance, rtol=tolerance)


@CHUNKS
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("terms", [(name,) for name in TERMS] + [TERMS], ids="+".join)
def test_values_and_gradients_are_the_plain_ones(chunk_size, dtype, kind, terms):
    head, teacher = random_head(1, 5, dtype, **kind), random_head(4, 8, dtype, **kind)
    states = random(2, TOKENS, 5, dtype=dtype), random(3, TOKENS, 8, dtype=dtype)
    compare(states[0], head, states[1], teacher, terms, chunk_size, TOLERANCE[dtype])


@CHUNKS
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", HEADS.values(), ids=HEADS)
def test_a_loss_of_the_terms_in_one_pass(chunk_size, dtype, kind):
    """Not linear in them, with weights of each token: the sum, its terms and its gradients."""
    head, teacher = random_head(1, 5, dtype, **kind), random_head(4, 8, dtype, **kind)
    hidden, teacher_hidden = random(2, TOKENS, 5, dtype=dtype), random(3, TOKENS, 8, dtype=dtype)
    ids, weights = torch.arange(TOKENS) % VOCAB, random(5, TOKENS)
    student = [x.requires_grad_() for x in (hidden, head.weight, head.bias) if x is not None]

    def loss(terms: VocabularyTerms, rows: slice) -> Tensor:
        weight = weights.to(terms.log_probs.dtype)[rows]
        return weight * terms.log_probs.exp() + terms.reverse_kl * terms.entropy

    inputs = hidden, head, ids, TERMS
    teachers = teacher_hidden, teacher, chunk_size
    total, found = vocabulary_loss(*inputs, loss, *teachers)
    terms = vocabulary_terms(*inputs, *teachers)
    expected = loss(terms, slice(None)).sum()
    torch.testing.assert_close(total, expected, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])
    for name in TERMS:
        assert torch.equal(getattr(found, name), getattr(terms, name))
        assert not getattr(found, name).requires_grad
    gradients = [torch.autograd.grad(x / 3, student, retain_graph=True) for x in (total, expected)]
    with pytest.raises(RuntimeError, match="once only"):
        torch.autograd.grad(total / 3, student)
    for one, other in zip(*gradients, strict=True):
        assert one.dtype == other.dtype
        size = max(1.0, float(other.abs().max()))
        torch.testing.assert_close(
            one / size, other / size, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype]
        )


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
    compare(*inputs, TERMS, chunk_size, 1e-5 if dtype is torch.float32 else 1e-12)


def test_a_tied_head_adds_its_gradient_to_the_embeddings():
    weight, ids = random(1, VOCAB, 5).requires_grad_(), torch.arange(TOKENS) % VOCAB
    gradients = []
    for function in (vocabulary_terms, plain_terms):
        found = function(weight[ids.flip(0)].tanh(), Head(weight, None, VOCAB), ids, ("log_probs",))
        gradients += torch.autograd.grad(found.log_probs.sum(), weight)
    torch.testing.assert_close(*gradients, atol=1e-12, rtol=0)


def test_frozen_parts_and_no_tokens():
    head = random_head(1, 5, torch.float64, bias=True)
    hidden, ids = random(2, TOKENS, 5).requires_grad_(), torch.arange(TOKENS)
    vocabulary_terms(hidden, head, ids, ("log_probs",)).log_probs.sum().backward()
    assert hidden.grad.any() and head.weight.grad is None and head.bias.grad is None
    head.weight.requires_grad_()
    vocabulary_terms(hidden[:0], head, ids[:0], ("entropy",)).entropy.sum().backward()
    assert head.weight.grad.shape == head.weight.shape and not head.weight.grad.any()


def test_what_cannot_be_asked_for():
    head, hidden, ids = random_head(1, 5, torch.float64), random(2, 3, 5), torch.arange(3)
    for terms in ((), ("perplexity",)):
        with pytest.raises(ValueError, match="some of log_probs, reverse_kl"):
            vocabulary_terms(hidden, head, ids, terms)
    with pytest.raises(ValueError, match="need teacher_hidden"):
        vocabulary_terms(hidden, head, ids, ("reverse_kl",))


def test_under_autocast_logits_have_its_type_and_terms_do_not():
    head = random_head(1, 5, torch.float32)
    head.weight.requires_grad_()
    hidden, ids = random(2, TOKENS, 5, dtype=torch.float32), torch.arange(TOKENS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = vocabulary_terms(hidden, head, ids, ("log_probs",), chunk_size=4)
        expected = plain_terms(hidden, head, ids, ("log_probs",))
    assert torch.equal(found.log_probs, expected.log_probs)
    assert found.log_probs.dtype == torch.float32
    (gradient,) = torch.autograd.grad(found.log_probs.sum(), head.weight)
    assert gradient.dtype == torch.float32 and gradient.any()


class LargestTensor(TorchDispatchMode):
    """Numbers in the largest tensor that any operation inside returned."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        sizes = [x.numel() for x in tree_leaves(result) if isinstance(x, Tensor)]
        self.numel = max([self.numel, *sizes])
        return result


@pytest.mark.parametrize("in_one_pass", [True, False])
def test_no_tensor_is_larger_than_a_chunk(in_one_pass):
    vocab, tokens, chunk_size = 1000, 64, 8
    hidden, weight = random(1, tokens, 4).requires_grad_(), random(2, vocab, 4).requires_grad_()
    head, teacher = Head(weight, None, vocab), Head(random(3, vocab, 4), None, vocab)
    inputs = hidden, head, torch.arange(tokens), TERMS
    teachers = random(4, tokens, 4), teacher, chunk_size

    def loss(found: VocabularyTerms, _: slice | None = None) -> Tensor:
        return sum(getattr(found, name) for name in TERMS)

    with LargestTensor() as seen:
        if in_one_pass:
            total, _ = vocabulary_loss(*inputs, loss, *teachers)
        else:
            total = loss(vocabulary_terms(*inputs, *teachers)).sum()
        total.backward()
    assert seen.numel == chunk_size * vocab
