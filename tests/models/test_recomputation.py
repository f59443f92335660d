"""Gradient checkpointing stores less, and changes neither losses nor gradients nor sampling."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from minillm.data.batches import SequenceBatch
from minillm.errors import InputError
from minillm.models.forward import response_loss
from minillm.models.language_model import LanguageModel
from minillm.models.recomputation import recomputable_layers, recomputed_layers, recomputing
from tests.models.stock_models import EVERY_MODEL, Wrapper, build
from tests.objectives.small_heads import LOG_PROBS
from tests.stored_tensors import StoredTensors

BATCH = SequenceBatch.pad([([5, 6, 7], [9, 10, 2]), ([13], [15]), ([16, 17], [18, 2])], 1)
LAYERS = {"gpt2": "n_layer", "llama": "num_hidden_layers"}


class SizeOfStates:
    """A loss of the outputs of two layers."""

    layers = (1, -1)

    def __call__(self, states: dict[int, Tensor], tokens: Tensor) -> Tensor:
        return sum(state.square().sum(-1) for state in states.values())


def loss(model: LanguageModel, recomputes: bool, batch: SequenceBatch = BATCH) -> Tensor:
    model = recomputing(model) if recomputes else model
    return response_loss(
        Wrapper(model.module), batch, model, terms=LOG_PROBS,
        loss=lambda values: -values["log_probs"], state_loss=SizeOfStates(),
    )[0]  # fmt: skip


def assert_same(model: LanguageModel) -> None:
    values = []
    for recomputes in (False, True):
        torch.manual_seed(3)
        value = loss(model, recomputes)
        gradients = torch.autograd.grad(value, list(model.module.parameters()))
        values.append([value, *gradients, torch.get_rng_state()])
    for plain, recomputed in zip(*values, strict=True):
        assert torch.equal(recomputed, plain)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@EVERY_MODEL
def test_loss_and_gradients_are_the_same(kind, dtype):
    if (kind, dtype) != ("gemma2", torch.float64):  # its states of padding are not finite
        assert_same(build(kind, seed=1, dtype=dtype))


@pytest.mark.parametrize("kind", ["gpt2", "opt"])
def test_dropout_is_the_same(kind):
    dropout = {"resid_pdrop": 0.5} if kind == "gpt2" else {"dropout": 0.5}
    model = build(kind, seed=1, **dropout)
    without_dropout = loss(model, recomputes=False)
    model.module.train()
    assert loss(model, recomputes=False) != without_dropout
    assert_same(model)


def test_loss_and_gradients_are_the_same_with_autocast():
    model = build("llama", seed=1, dtype=torch.float32)
    assert_same(replace(model, autocast=torch.bfloat16))


def stored(model: LanguageModel, recomputes: bool, rows: int) -> int:
    """Bytes that a batch of `rows` sequences of 11 tokens stores."""
    batch = SequenceBatch.pad([([5, 6, 7], [9] * 8)] * rows, 1)
    tensors = StoredTensors(model.module)
    with tensors:
        value = loss(model, recomputes, batch)
    held = tensors.bytes
    value.backward()
    assert tensors.bytes == 0
    return held


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_stores_only_its_input(kind, training):
    """In training mode, and in evaluation mode, in which the policy gradient trains."""

    def per_token_and_layer(recomputes: bool) -> float:
        sizes = []
        for layers in (2, 3):
            model = build(kind, seed=1, dtype=torch.float32, **{LAYERS[kind]: layers})
            model.module.train(training)
            sizes.append(stored(model, recomputes, 4) - stored(model, recomputes, 2))
        return (sizes[1] - sizes[0]) / (2 * 11)

    width = 16
    assert per_token_and_layer(recomputes=True) == 4 * width
    assert per_token_and_layer(recomputes=False) > 15 * 4 * width


def test_the_layers_are_restored():
    model = build("llama", seed=1)
    (layer,) = recomputable_layers(model.module)
    with recomputed_layers([layer]):
        assert "forward" in vars(layer)
    assert "forward" not in vars(layer)


def test_a_model_without_such_layers_is_refused():
    shape = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64, "vocab_size": 48}
    module = AutoModelForCausalLM.from_config(AutoConfig.for_model("openai-gpt", **shape))
    with pytest.raises(InputError, match=r"gradient_checkpointing=true is not allowed for OpenAI"):
        recomputing(LanguageModel(module, None, 48, ()))
