"""Gradient checkpointing stores less, and changes neither losses nor gradients nor sampling."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from minillm.data.batches import SequenceBatch
from minillm.errors import InputError
from minillm.models.forward import response_loss
from minillm.models.language_model import FUSED_GELU, LanguageModel
from minillm.models.recomputation import recomputable_layers, recomputed_layers, recomputing
from tests.documents.reading import ROOT, table_rows
from tests.models.stock_models import EVERY_MODEL, Wrapper, build
from tests.objectives.small_heads import LOG_PROBS
from tests.stored_tensors import StoredTensors

DISTRIBUTED = ROOT / "docs" / "distributed.md"
BATCH = SequenceBatch.pad([([5, 6, 7], [9, 10, 2]), ([13], [15]), ([16, 17], [18, 2])], 1)
LAYERS = {"gpt2": "n_layer", "llama": "num_hidden_layers"}
WIDTH = {"gpt2": "n_embd", "llama": "hidden_size"}


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
    tensors = StoredTensors()
    with tensors:
        value = loss(model, recomputes, batch)
    held = tensors.bytes
    value.backward()
    assert tensors.bytes == 0
    return held


def deep(kind: str, layers: int, width: int, autocast: torch.dtype | None = None) -> LanguageModel:
    shape = {LAYERS[kind]: layers, WIDTH[kind]: width}
    if kind == "gpt2":
        shape["activation_function"] = FUSED_GELU  # as `load_model` loads it
    else:
        shape |= {"intermediate_size": width * 11 // 4, "head_dim": width // 2}
    return replace(build(kind, seed=1, dtype=torch.float32, **shape), autocast=autocast)


def per_token_and_layer(
    kind: str, width: int, recomputes: bool, training: bool = False, **precision
) -> float:
    """Bytes, divided by the width. Differences exclude weights and other layers."""
    sizes = []
    for layers in (2, 3):
        model = deep(kind, layers, width, **precision)
        model.module.train(training)
        sizes.append(stored(model, recomputes, 4) - stored(model, recomputes, 2))
    return (sizes[1] - sizes[0]) / (2 * 11) / width


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_stores_only_its_input(kind, training):
    """In training mode, and in evaluation mode, in which the policy gradient trains."""
    assert per_token_and_layer(kind, 16, True, training) == 4
    assert per_token_and_layer(kind, 16, False, training) > 15 * 4


def test_gpt2_stores_what_the_documents_say():
    """The row of GPT-2 in docs/distributed.md; tests/distributed checks the other rows."""
    (sizes,) = (sizes for name, *sizes in table_rows(DISTRIBUTED) if name == "GPT-2")
    for text, autocast in zip(sizes[:2], (None, torch.bfloat16), strict=True):
        size = per_token_and_layer("gpt2", 128, recomputes=False, autocast=autocast)
        assert size == pytest.approx(float(text.removesuffix(" d")), rel=0.01)


def test_autocast_stores_a_copy_of_the_weights_unless_layers_are_recomputed():
    model = deep("llama", 2, 128, autocast=torch.bfloat16)
    of_weights = [2 * stored(model, x, 2) - stored(model, x, 4) for x in (False, True)]
    weights = sum(weight.numel() for weight in model.module.model.layers.parameters())
    assert of_weights[0] - of_weights[1] == pytest.approx(2 * weights, rel=0.02)


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
