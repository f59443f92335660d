"""What all kinds of targets have in common: selection, memory, edges and half precision."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from minillm.objectives.chunked import vocabulary_loss, vocabulary_terms
from minillm.objectives.divergences import ReverseKL, build_divergence
from minillm.objectives.head import Head
from minillm.objectives.targets import (
    HeadTargets,
    MixtureTargets,
    Targets,
    TopKTargets,
    top_k_targets,
)
from minillm.objectives.terms import DivergenceTerm, TokenLogProb
from tests.objectives.plain_divergences import assert_close
from tests.objectives.small_heads import (
    DEFAULTS,
    TOKENS,
    VOCAB,
    WEIGHTS,
    LargestTensor,
    linear,
    random,
    random_head,
    three_teachers,
)


def top_k(parts: list[HeadTargets]) -> TopKTargets:
    return top_k_targets(parts[0], len(parts[0].hidden), 4, 1.0, 5)


KINDS: dict[str, Callable[[list[HeadTargets]], Targets]] = {
    "head": lambda parts: parts[0],
    "top k": top_k,
    "arithmetic": lambda parts: MixtureTargets(parts, WEIGHTS),
    "geometric": lambda parts: MixtureTargets(parts, WEIGHTS, True),
    "nested": lambda parts: MixtureTargets([MixtureTargets(parts, WEIGHTS)], [1.0], True),
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def in_batches(targets: Targets) -> Targets:
    """The first 10 tokens as a batch `[2, 5]`."""
    if isinstance(targets, MixtureTargets):
        parts = [in_batches(part) for part in targets.parts]
        return MixtureTargets(parts, targets.weights, targets.geometric)
    tensors = {
        name: x[:10].unflatten(0, (2, 5))
        for name, x in vars(targets).items()
        if isinstance(x, Tensor)
    }
    return type(targets)(**vars(targets) | tensors)


def values(targets: Targets, tokens: Tensor) -> Tensor:
    """The reverse KL of the student at some tokens, in chunks."""
    inputs = random(2, TOKENS, 5)[tokens], random_head(1, 5), tokens
    terms = {"x": DivergenceTerm(ReverseKL())}
    return vocabulary_terms(*inputs, terms=terms, targets=targets, chunk_size=3)["x"]


@EVERY_KIND
def test_targets_are_selected_by_the_index_of_the_token_row_by_row(kind):
    targets, everything = kind(three_teachers()), torch.arange(TOKENS)
    expected = values(targets, everything)
    assert expected.unique().numel() == TOKENS
    batch, order = in_batches(targets), torch.tensor([7, 0, 9, 3, 3, 8])
    assert torch.equal(values(batch, everything[:10]), expected[:10])
    for source in (targets, batch):
        assert_close(values(source.select(order), order), expected[order], 1e-12)
        again = source.select(order).select(torch.tensor([4, 1]))
        assert_close(values(again, order[[4, 1]]), expected[order[[4, 1]]], 1e-12)


@EVERY_KIND
def test_no_tensor_is_larger_than_a_chunk(kind):
    vocab, tokens, chunk_size = 200, 12, 4
    parts = [
        HeadTargets(random(i, tokens, 4), Head(random(i + 9, vocab, 4), None, vocab))
        for i in range(3)
    ]
    hidden, weight = random(5, tokens, 4).requires_grad_(), random(2, vocab, 4).requires_grad_()
    terms = {
        "hard": TokenLogProb(),
        "reverse": DivergenceTerm(ReverseKL(), 2.0, 1.0),
        "adaptive": DivergenceTerm(build_divergence("adaptive_kl", {})),
    }
    with LargestTensor() as seen:
        top_k_targets(parts[0], tokens, 4, 1.0, chunk_size)
    assert seen.numel == chunk_size * vocab
    targets = kind(parts)
    with LargestTensor() as seen:
        total, _ = vocabulary_loss(
            hidden, Head(weight, None, vocab), torch.arange(tokens), terms=terms, loss=linear,
            targets=targets, given=[torch.ones(tokens)] * len(terms), chunk_size=chunk_size,
        )  # fmt: skip
        total.backward()
    assert seen.numel == chunk_size * vocab


@EVERY_KIND
@pytest.mark.parametrize("tokens", [0, 1])
def test_one_token_and_no_tokens(kind, tokens):
    targets = kind(three_teachers()).select(torch.arange(tokens))
    hidden, head = random(2, tokens, 5).requires_grad_(), random_head(1, 5)
    head.weight.requires_grad_()
    terms = {str(x): DivergenceTerm(x, 2.0, 1.0) for x in DEFAULTS}
    total, values_by_name = vocabulary_loss(
        hidden, head, torch.arange(tokens), terms=terms, targets=targets, loss=linear,
        given=[torch.ones(tokens)] * len(terms),
    )  # fmt: skip
    total.backward()
    assert all(x.shape == (tokens,) for x in values_by_name.values())
    assert hidden.grad.shape == (tokens, 5) and bool(head.weight.grad.any()) == bool(tokens)
    assert total.isfinite() and (total > 0) == (tokens > 0)


@EVERY_KIND
@pytest.mark.parametrize("autocast", [False, True], ids=["bfloat16", "autocast"])
def test_half_precision_gives_about_the_same(kind, autocast):
    def run(dtype: torch.dtype) -> tuple[Tensor, ...]:
        def rounded(x: Tensor) -> Tensor:
            return x.bfloat16().to(dtype)

        def head(source: Head) -> Head:
            bias = None if source.bias is None else rounded(source.bias)
            return Head(rounded(source.weight), bias, VOCAB, source.scale, source.softcap)

        parts = [HeadTargets(rounded(x.hidden), head(x.head)) for x in three_teachers()]
        hidden, student = rounded(random(2, TOKENS, 5)).requires_grad_(), head(random_head(1, 5))
        terms = {str(x): DivergenceTerm(x, 2.0, 1.0) for x in DEFAULTS}
        total, values_by_name = vocabulary_loss(
            hidden, student, torch.arange(TOKENS), terms=terms, targets=kind(parts), loss=linear,
            given=[torch.ones(TOKENS)] * len(terms), chunk_size=4,
        )  # fmt: skip
        return torch.stack([*values_by_name.values()]), torch.autograd.grad(total, hidden)[0]

    exact = run(torch.float64)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        value, gradient = run(torch.float32 if autocast else torch.bfloat16)
    assert value.dtype == torch.float32
    assert gradient.dtype == (torch.float32 if autocast else torch.bfloat16)
    torch.testing.assert_close(value.double(), exact[0], atol=0.02, rtol=0.05)
    torch.testing.assert_close(gradient.double(), exact[1], atol=0.3, rtol=0.05)
