"""Heads of stock models: computed logits, and training through a replaced head."""

import torch

from minillm.data.batches import SequenceBatch
from minillm.models.check import check_model
from minillm.models.forward import response_hidden, response_loss, response_terms
from minillm.models.heads import output_head
from minillm.models.language_model import LanguageModel
from minillm.objectives.distributions import log_softmax
from minillm.objectives.targets import HeadTargets
from tests.models.stock_models import EVERY_MODEL, ROWS, Wrapper, build
from tests.objectives.small_heads import LOG_PROBS, TERMS, LargestTensor
from tests.tiny import response_logits

# All prompts have one length: in float64, Gemma's attention is NaN on rows that see only padding.
BATCH = SequenceBatch.pad([([5, 6, 7], [9, 10, 2]), ([13, 4, 3], [15]), ([16, 17, 8], [18, 2])], 1)


@EVERY_MODEL
def test_the_head_computes_the_logits_of_the_model(kind):
    model = build(kind, seed=1)
    check_model(model)
    hidden = response_hidden(model, BATCH)
    torch.testing.assert_close(output_head(model).logits(hidden), response_logits(model, BATCH))


@EVERY_MODEL
def test_terms_and_gradients_equal_those_of_the_logits(kind):
    student, teacher = build(kind, seed=1), build(kind, seed=2)
    wrapper, parameters = Wrapper(student.module), list(student.module.parameters())
    real = BATCH.response_mask.bool()
    with torch.no_grad():
        targets = HeadTargets(response_hidden(teacher, BATCH), output_head(teacher))
        log_p = log_softmax(response_logits(teacher, BATCH))
    weights = torch.arange(1.0, 10.0, dtype=torch.float64).view(3, 3)  # one per token
    terms = {name: TERMS[name] for name in ("log_probs", "reverse_kl", "forward_kl")}

    def loss(values: dict, weights: torch.Tensor) -> torch.Tensor:
        return weights * (values["log_probs"] * values["reverse_kl"] + values["forward_kl"])

    total, loss_values = response_loss(
        wrapper, BATCH, student, terms=terms, loss=loss, given=[weights], targets=targets,
        chunk_size=4,
    )  # fmt: skip
    assert wrapper.passes == 1 and "forward" not in vars(student.module.get_output_embeddings())
    log_q = log_softmax(response_logits(student, BATCH))  # the model scales and caps again
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
    plain_total = (loss(expected, weights) * real).sum()
    torch.testing.assert_close(total, plain_total)
    gradients = [torch.autograd.grad(value, parameters) for value in (total, plain_total)]
    for gradient, plain_gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, plain_gradient, atol=1e-9, rtol=1e-9)


def cross_entropy(model: LanguageModel, chunk_size: int | None = None) -> torch.Tensor:
    return response_loss(
        model.module, BATCH, model, terms=LOG_PROBS, loss=lambda values: -values["log_probs"],
        chunk_size=chunk_size,
    )[0]  # fmt: skip


def test_gradients_reach_the_head_through_its_output():
    """Engines that shard parameters gather them again at the gradient of a module's output."""
    model, calls = build("llama", seed=1), []
    head = model.module.get_output_embeddings()
    handle = head.register_full_backward_pre_hook(lambda *_: calls.append("head"))
    cross_entropy(model).backward()
    handle.remove()
    assert calls == ["head"] and head.weight.grad.any()


def test_the_logits_of_all_positions_never_exist_at_once():
    model = build("gemma2", seed=1)
    with LargestTensor() as largest:
        cross_entropy(model, chunk_size=2).backward()
    # The largest tensors are the gradients of the parameters, [ROWS, 16].
    assert largest.numel == ROWS * 16
