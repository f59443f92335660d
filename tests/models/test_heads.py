"""Heads of stock models: rebuilt logits, and training through a head that was replaced."""

import pytest
import torch

from minillm.data.batches import SequenceBatch
from minillm.errors import InputError
from minillm.models.forward import response_hidden, response_loss, response_terms
from minillm.models.heads import check_head, output_head
from minillm.models.language_model import LanguageModel
from minillm.objectives.distributions import log_softmax
from minillm.objectives.targets import HeadTargets
from tests.models.stock_models import EVERY_MODEL, ROWS, Wrapper, build
from tests.objectives.small_heads import LOG_PROBS, TERMS, LargestTensor
from tests.tiny import response_logits

# Prompts of one length: in float64 Gemma's attention is NaN on rows that see nothing but padding.
BATCH = SequenceBatch.pad([([5, 6, 7], [9, 10, 2]), ([13, 4, 3], [15]), ([16, 17, 8], [18, 2])], 1)


@EVERY_MODEL
def test_logits_are_rebuilt_as_the_model_makes_them(kind):
    model = build(kind, seed=1)
    check_head(model)
    hidden = response_hidden(model, BATCH)
    torch.testing.assert_close(output_head(model).logits(hidden), response_logits(model, BATCH))


@EVERY_MODEL
def test_terms_and_gradients_are_those_of_the_models_logits(kind):
    student, teacher = build(kind, seed=1), build(kind, seed=2)
    wrapper, parameters = Wrapper(student.module), list(student.module.parameters())
    real = BATCH.response_mask.bool()
    with torch.no_grad():
        targets = HeadTargets(response_hidden(teacher, BATCH), output_head(teacher))
        log_p = log_softmax(response_logits(teacher, BATCH))
    given = torch.arange(1.0, 10.0, dtype=torch.float64).view(3, 3)  # a weight per token
    terms = {name: TERMS[name] for name in ("log_probs", "reverse_kl", "forward_kl")}

    def loss(values: dict, weights: torch.Tensor) -> torch.Tensor:
        return weights * (values["log_probs"] * values["reverse_kl"] + values["forward_kl"])

    total, loss_values = response_loss(
        wrapper, BATCH, student, terms=terms, loss=loss, given=[given], targets=targets,
        chunk_size=4,
    )  # fmt: skip
    assert wrapper.passes == 1 and "forward" not in vars(student.module.get_output_embeddings())
    log_q = log_softmax(response_logits(student, BATCH))  # scaled and capped again
    expected = {
        "log_probs": log_q.gather(-1, BATCH.response_ids[..., None])[..., 0],
        "reverse_kl": (log_q.exp() * (log_q - log_p)).sum(-1),
        "forward_kl": (log_p.exp() * (log_p - log_q)).sum(-1),
    }
    values = response_terms(student, BATCH, terms=terms, targets=targets)
    for name in terms:
        torch.testing.assert_close(loss_values[name], expected[name] * real)
        torch.testing.assert_close(values[name], loss_values[name])
        assert not values[name].requires_grad
    plain = (loss(expected, given) * real).sum()
    torch.testing.assert_close(total, plain)
    for one, other in zip(*(torch.autograd.grad(x, parameters) for x in (total, plain)),
                          strict=True):  # fmt: skip
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)


def cross_entropy(model: LanguageModel, chunk_size: int | None = None) -> torch.Tensor:
    return response_loss(
        model.module, BATCH, model, terms=LOG_PROBS, loss=lambda values: -values["log_probs"],
        chunk_size=chunk_size,
    )[0]  # fmt: skip


def test_gradients_reach_the_head_through_its_own_output():
    """Engines that shard parameters gather them again when the gradient of an output comes."""
    model, seen = build("llama", seed=1), []
    head = model.module.get_output_embeddings()
    handle = head.register_full_backward_pre_hook(lambda *_: seen.append("head"))
    cross_entropy(model).backward()
    handle.remove()
    assert seen == ["head"] and head.weight.grad.any()


def test_no_logits_of_all_positions():
    model = build("gemma2", seed=1)
    with LargestTensor() as seen:
        cross_entropy(model, chunk_size=2).backward()
    # The largest are the parameters' own gradients, [ROWS, 16].
    assert seen.numel == ROWS * 16


def test_unknown_changes_of_logits_are_refused():
    model = build("llama", seed=1)
    hook = model.module.register_forward_hook(
        lambda _, __, output: type(output)(logits=output.logits * 0.5)
    )
    with pytest.raises(InputError, match="LlamaForCausalLM changes its logits"):
        check_head(model)
    hook.remove()
