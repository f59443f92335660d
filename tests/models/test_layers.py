"""Outputs of decoder layers, and losses of them beside a loss over the vocabulary.

Outputs and losses are compared with plain forward passes with `output_hidden_states=True`. A plain
pass reads one sequence without padding, or all sequences with position ids.
"""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, Gemma3Config

from minillm.data.batches import SequenceBatch
from minillm.errors import InputError
from minillm.models.forward import position_ids, response_loss, response_states
from minillm.models.language_model import LanguageModel
from minillm.models.layers import captured_layers, decoder_layers, layer_number
from tests.models.stock_models import VOCAB, Wrapper, build
from tests.objectives.small_heads import LOG_PROBS

# In float64, the hidden states of Gemma 2 are not finite if prompts are padded.
KINDS = {"gpt2": torch.float64, "gptj": torch.float64, "llama": torch.float64,
         "opt": torch.float64, "gemma2": torch.float32}  # fmt: skip
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
PAIRS = [([5, 6, 7], [9, 10, 2]), ([13], [15]), ([16, 17], [18, 2])]
BATCH = SequenceBatch.pad(PAIRS, 1)
LAYERS = 3


def deep(kind: str, seed: int = 1, **changes) -> LanguageModel:
    name = "n_layer" if kind.startswith("gpt") else "num_hidden_layers"
    return build(kind, seed, **{"dtype": KINDS[kind], name: LAYERS} | changes)


def after_last_layer(model: LanguageModel, state: Tensor) -> Tensor:
    """Last hidden states from the output of the last layer."""
    body = model.module.base_model
    if model.module.config.model_type == "opt":
        return body.decoder.project_out(body.decoder.final_layer_norm(state))
    return (body.ln_f if hasattr(body, "ln_f") else body.norm)(state)


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = 1e-10) -> None:
    tolerance = tolerance if actual.dtype == torch.float64 else 1e-4
    scale = max(1.0, float(expected.detach().abs().max()))
    torch.testing.assert_close(actual / scale, expected / scale, atol=tolerance, rtol=tolerance)


def test_the_layers_are_those_of_the_text_part():
    """The layers of images are as many, and come first."""
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2,
             "num_attention_heads": 2}  # fmt: skip
    vision = sizes | {"image_size": 8, "patch_size": 4}
    config = Gemma3Config(text_config=sizes | {"vocab_size": 32}, vision_config=vision)
    with torch.device("meta"):
        module = AutoModelForCausalLM.from_config(config)
    assert decoder_layers(module) is module.model.language_model.layers


@EVERY_KIND
@torch.no_grad()
def test_states_before_each_token_do_not_depend_on_padding(kind):
    model = deep(kind)
    hidden, states = response_states(model, BATCH, (1, -1, 2, 3))
    assert states.keys() == {1, -1, 2, 3} and torch.equal(states[-1], states[3])
    assert all(state.shape == (3, 3, 16) for state in states.values())
    for row, (prompt, response) in enumerate(PAIRS):
        ids = torch.tensor([prompt + response])
        alone = model.module(input_ids=ids, output_hidden_states=True).hidden_states
        columns = slice(len(prompt) - 1, -1)
        real = row, slice(len(response))
        assert_close(states[1][real], alone[1][0, columns])
        assert_close(states[2][real], alone[2][0, columns])
        assert_close(after_last_layer(model, states[3][real]), alone[3][0, columns])
        assert_close(hidden[real], alone[3][0, columns])


@dataclass(frozen=True)
class Follow:
    """Squared distances of projected states from a target per token `[B, T, 4]`."""

    model: LanguageModel
    projection: nn.Linear
    target: Tensor
    layers = (1, -1)

    def __call__(self, states: dict[int, Tensor], tokens: Tensor) -> Tensor:
        assert states.keys() == {1, -1}
        last = after_last_layer(self.model, states[-1])[:, :8]
        target = self.target.flatten(0, 1)[tokens]
        distances = (self.projection(states[1][:, :8] + last) - target).square().sum(-1)
        return distances * (1 + tokens)


@EVERY_KIND
def test_a_loss_of_states_beside_the_loss_of_tokens(kind):
    model = deep(kind)
    wrapper = Wrapper(model.module)
    projection = nn.Linear(8, 4, dtype=KINDS[kind])
    target = torch.randn(3, 3, 4, generator=torch.Generator().manual_seed(1)).to(KINDS[kind])
    trained = [*model.module.parameters(), *projection.parameters()]
    weight = torch.arange(1.0, 10.0).view(3, 3).to(KINDS[kind])
    total, values = response_loss(
        wrapper, BATCH, model, terms=LOG_PROBS,
        loss=lambda values, weight: -weight * values["log_probs"], given=[weight],
        state_loss=Follow(model, projection, target), chunk_size=2,
    )  # fmt: skip
    assert wrapper.passes == 1 and values.keys() == {"log_probs", "states"}

    mask = torch.cat([BATCH.prompt_mask, BATCH.response_mask], dim=1)
    output = model.module(
        torch.cat([BATCH.prompt_ids, BATCH.response_ids], dim=1),
        attention_mask=mask, position_ids=position_ids(mask), output_hidden_states=True,
    )  # fmt: skip
    columns, real = slice(2, -1), BATCH.response_mask
    first, last = (output.hidden_states[i][:, columns, :8] for i in (1, -1))
    distances = (projection(first + last) - target).square().sum(-1)
    distances = distances * torch.arange(1, 10).view(3, 3) * real
    log_q = output.logits[:, columns, :VOCAB].log_softmax(-1)
    log_probs = log_q.gather(-1, BATCH.response_ids[..., None])[..., 0] * real
    plain = distances.sum() - (weight * log_probs).sum()

    assert_close(values["states"], distances.detach())
    assert_close(values["log_probs"], log_probs.detach())
    assert_close(total, plain)
    gradients = [torch.autograd.grad(x, trained) for x in (total, plain)]
    tolerance = 1e-6 if kind == "llama" else 1e-10  # Llama's norms are computed in float32
    for gradient, plain_gradient in zip(*gradients, strict=True):
        assert_close(gradient, plain_gradient, tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_loss_of_states_in_half_precision(dtype):
    """With autocast, or with weights in half precision."""
    model = deep("llama", dtype=dtype)
    projection = nn.Linear(8, 4, dtype=dtype)
    state_loss = Follow(model, projection, torch.ones(3, 3, 4))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.float32):
        total, values = response_loss(
            model.module, BATCH, model, terms=LOG_PROBS, loss=lambda values: values["log_probs"],
            state_loss=state_loss,
        )  # fmt: skip
    total.backward()
    assert total.dtype == values["states"].dtype == torch.float32 and total.isfinite()
    assert not values["states"][BATCH.response_mask == 0].any()
    expected = float(values["states"].sum() + values["log_probs"].sum())
    assert float(total.detach()) == pytest.approx(expected, rel=1e-2)
    assert projection.weight.grad.any() and projection.weight.grad.isfinite().all()


def test_hooks_are_removed():
    model = deep("gpt2")
    layers = decoder_layers(model.module)
    assert len(layers) == LAYERS
    with pytest.raises(InputError), captured_layers(model.module, (1, 2, 9)):
        pass
    with pytest.raises(RuntimeError, match="stop"), captured_layers(model.module, (1,)):
        assert layers[0]._forward_hooks
        raise RuntimeError("stop")
    response_states(model, BATCH, (1, -1))
    assert not any(layer._forward_hooks for layer in layers)


@pytest.mark.parametrize("layer", [0, LAYERS + 1, -LAYERS - 1])
def test_layers_that_do_not_exist_are_refused(layer):
    model = deep("opt")
    message = rf"layer {layer} does not exist: OPTForCausalLM has the layers 1 to 3 \(or -3 to -1\)"
    with pytest.raises(InputError, match=message):
        response_states(model, BATCH, (layer,))
    assert [layer_number(model.module, x) for x in (1, 3, -1, -3)] == [1, 3, 3, 1]


def test_a_model_without_a_list_of_its_layers_is_refused():
    model = deep("llama")
    model.module.config.num_hidden_layers = 5
    with pytest.raises(InputError, match="LlamaForCausalLM has no list of 5 decoder layers"):
        layer_number(model.module, 1)
