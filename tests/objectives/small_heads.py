"""Small output heads, and what the tests of losses over the vocabulary share."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from minillm.objectives.chunked import Values, vocabulary_loss, vocabulary_terms
from minillm.objectives.divergences import DIVERGENCES, ForwardKL, ReverseKL, build_divergence
from minillm.objectives.head import Head
from minillm.objectives.targets import HeadTargets, Targets
from minillm.objectives.terms import DivergenceTerm, Entropy, Terms, TokenLogProb
from tests.objectives.plain_divergences import PLAIN, assert_close

TERMS: Terms = {
    "log_probs": TokenLogProb(),
    "reverse_kl": DivergenceTerm(ReverseKL()),
    "entropy": Entropy(),
    "forward_kl": DivergenceTerm(ForwardKL()),
}
LOG_PROBS: Terms = {"log_probs": TokenLogProb()}

TOKENS, VOCAB, ROWS = 11, 13, 16  # rows after the vocabulary are padding
HEADS = {
    "plain": {},
    "bias": {"bias": True},
    "scale": {"scale": 0.3, "bias": True},
    "softcap": {"softcap": 2.0, "scale": 1.7},
}
WEIGHTS = 0.2, 0.5, 0.3  # of `three_teachers` in a mixture
# Every divergence with its defaults.
DEFAULTS = [build_divergence(name, {}) for name in DIVERGENCES]
EVERY_DIVERGENCE = pytest.mark.parametrize("divergence", DEFAULTS, ids=str)
CHUNKS = pytest.mark.parametrize("chunk_size", [1, 7, None])


def random(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def random_head(
    seed: int, width: int, dtype: torch.dtype = torch.float64, bias: bool = False, **rest
) -> Head:
    weight = random(seed, ROWS, width, dtype=dtype) / 2
    return Head(weight, random(seed + 1, ROWS, dtype=dtype) if bias else None, VOCAB, **rest)


def head_targets(seed: int, width: int = 8, tokens: int = TOKENS, **kind) -> HeadTargets:
    return HeadTargets(random(seed, tokens, width), random_head(seed + 50, width, **kind))


def three_teachers() -> list[HeadTargets]:
    """Teachers of different widths and heads."""
    return [
        head_targets(3, 8, **HEADS["plain"]),
        head_targets(4, 5, **HEADS["softcap"]),
        head_targets(7, 6, **HEADS["scale"]),
    ]


def logits_head(vocab: int, dtype: torch.dtype = torch.float64) -> Head:
    """A head whose hidden states are the logits: the gradient by them is that by the logits."""
    return Head(torch.eye(vocab, dtype=dtype), None, vocab)


def plain_logits(hidden: Tensor, head: Head) -> Tensor:
    """The final logits `[N, V]`."""
    logits = hidden @ head.weight[: head.vocab_size].T
    if head.bias is not None:
        logits = logits + head.bias[: head.vocab_size]
    logits = logits * head.scale
    return logits if head.softcap is None else (logits / head.softcap).tanh() * head.softcap


def teacher_logits(targets: HeadTargets) -> Tensor:
    return plain_logits(targets.hidden, targets.head)


def plain_divergence(term: DivergenceTerm, z: Tensor, p: Tensor) -> Tensor:
    """The term from the student's final logits and the teacher's probabilities."""
    q = (z / term.temperature).softmax(-1)
    value = PLAIN[term.divergence.name](q, p, **vars(term.divergence))
    return value * (term.temperature**2 if term.squared else 1)


def linear(values: Values, *weights: Tensor) -> Tensor:
    """A weight per token for each of the terms."""
    pairs = zip(weights, values.values(), strict=False)
    return sum(weight.to(x.dtype) * x for weight, x in pairs)


def assert_loss_is(
    plain: Callable[[Tensor], Values],
    hidden: Tensor,
    head: Head,
    *,
    terms: Terms,
    targets: Targets,
    chunk_size: int | None,
    loss: Callable[..., Tensor] = linear,
) -> None:
    """Values, sum and gradients equal those of autograd through `plain(final logits)`.

    The gradients are by those of hidden states, weight and bias that require one. Without any, all
    are made to.
    """
    tensors = [x for x in (hidden, head.weight, head.bias) if x is not None]
    if not any(x.requires_grad for x in tensors):
        for tensor in tensors:
            tensor.requires_grad_()
    ids, weights = torch.arange(len(hidden)) % VOCAB, [*random(5, len(terms), len(hidden))]
    settings = {"terms": terms, "targets": targets, "chunk_size": chunk_size}
    total, values = vocabulary_loss(hidden, head, ids, loss=loss, given=weights, **settings)
    expected = plain(plain_logits(hidden, head))
    read = vocabulary_terms(hidden, head, ids, **settings)
    assert values.keys() == expected.keys() == read.keys()
    for name, value in values.items():
        assert_close(value, expected[name].detach())
        assert torch.equal(read[name], value) and not value.requires_grad
    expected_total = loss(expected, *weights).sum()
    assert_close(total, expected_total)
    trained = [x for x in tensors if x.requires_grad]
    gradients = torch.autograd.grad(total, trained)
    for one, other in zip(gradients, torch.autograd.grad(expected_total, trained), strict=True):
        assert_close(one, other)


class LargestTensor(TorchDispatchMode):
    """Numbers in the largest tensor that any operation inside made; views are not made."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        inputs = {x.untyped_storage().data_ptr() for x in _tensors((args, kwargs))}
        made = (x for x in _tensors(result) if x.untyped_storage().data_ptr() not in inputs)
        self.numel = max([self.numel, *(x.numel() for x in made)])
        return result


def _tensors(tree: object) -> list[Tensor]:
    return [x for x in tree_leaves(tree) if isinstance(x, Tensor)]
