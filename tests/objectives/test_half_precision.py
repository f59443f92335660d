"""Half precision rounds weights and hidden states, but not logits."""

import pytest
import torch
from torch import Tensor

from minillm.objectives import chunked, head
from minillm.objectives.chunked import vocabulary_loss, vocabulary_terms
from minillm.objectives.head import Head
from tests.objectives.small_heads import LOG_PROBS, TOKENS, VOCAB, linear, random, random_head

IDS = torch.arange(TOKENS)


@pytest.mark.parametrize("shift", [-65.0, -110.0])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_large_logits_are_not_rounded(dtype, shift):
    """The logits of GPT-2 are near these numbers; bfloat16 would round them to 0.25 and 0.5."""
    hidden, weight = (random(seed, n, 5).bfloat16() for seed, n in ((1, TOKENS), (2, VOCAB)))
    hidden[:, 0], weight[:, 0] = shift, 1.0
    expected = (hidden.double() @ weight.double().T).log_softmax(-1)[IDS, IDS]
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.float32):
        values = vocabulary_terms(
            hidden.to(dtype), Head(weight.to(dtype), None, VOCAB), IDS, terms=LOG_PROBS
        )
    assert values["log_probs"].dtype == torch.float32
    torch.testing.assert_close(values["log_probs"].double(), expected, atol=1e-4, rtol=0)


class OnGpu(Head):
    """A head on the CPU whose weight is converted as on a GPU."""

    def ready(self) -> Head:
        return OnGpu(self.weight.to(self.autocast), self.bias, self.vocab_size,
                     autocast=self.autocast)  # fmt: skip


def test_a_gpu_rounds_the_factors_and_not_the_products(monkeypatch):
    """The test imitates products in half precision with results in float32, which need a GPU."""
    seen = []

    def product(a: Tensor, b: Tensor) -> Tensor:
        assert a.dtype == b.dtype
        seen.append(a.dtype)
        return a @ b if a.dtype == torch.float64 else a.float() @ b.float()

    for module in (head, chunked):
        monkeypatch.setattr(module, "product", product)
    found, expected = [], []
    for results, kind, dtype, autocast in (
        (found, OnGpu, torch.float32, torch.bfloat16),
        (expected, Head, torch.float64, None),
    ):
        plain = random_head(1, 5, torch.float32, bias=True)
        weight, bias = (x.bfloat16().to(dtype).requires_grad_() for x in (plain.weight, plain.bias))
        hidden = random(2, TOKENS, 5).bfloat16().to(dtype).requires_grad_()
        total, values = vocabulary_loss(
            hidden, kind(weight, bias, VOCAB, autocast=autocast), IDS, terms=LOG_PROBS, loss=linear,
            given=[torch.ones(TOKENS)], chunk_size=4,
        )  # fmt: skip
        assert total.dtype == dtype
        results += [values["log_probs"], *torch.autograd.grad(total, (hidden, weight, bias))]
    assert torch.bfloat16 in seen and torch.float32 not in seen
    torch.testing.assert_close(found[0].double(), expected[0], atol=1e-5, rtol=0)
    for gradient, exact in zip(found[1:], expected[1:], strict=True):
        assert gradient.dtype == torch.float32
        torch.testing.assert_close(gradient.double(), exact, atol=0.02, rtol=0.02)
