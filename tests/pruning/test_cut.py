"""Pruned models beside models built by hand, and beside originals whose dropped parts are zero."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from minillm.errors import InputError
from minillm.models.check import check_model
from minillm.models.language_model import LanguageModel
from minillm.models.layers import decoder_layers
from minillm.pruning import cut
from minillm.pruning.check import check_pruned
from minillm.pruning.cut import Kept, pruned
from minillm.pruning.structure import HeadSizes, heads_output, units_of, units_output
from tests.models.stock_models import VOCAB
from tests.pruning.deep_models import LAYERS, MODELS, deep, with_layers

EVERY_KIND = pytest.mark.parametrize("kind", MODELS)
WITH_UNITS = pytest.mark.parametrize("kind", [kind for kind in MODELS if kind != "mixtral"])
# The settings per layer of the models with layers 1 and 4, and 2 and 3.
OF_LAYERS = {
    (0, 3): {"layer_types": ["sliding_attention"] * 2, "no_rope_layers": [1, 1],
             "attention_types": [[["local"], 1], [["local"], 1]]},
    (1, 2): {"layer_types": ["full_attention"] * 2, "no_rope_layers": [0, 0],
             "attention_types": [[["global"], 1], [["global"], 1]]},
}  # fmt: skip


def logits(model: LanguageModel) -> Tensor:
    """For two sequences that are longer than the windows of attention."""
    ids = torch.randint(3, VOCAB, (2, 12), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        return model.module(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


def made(model: LanguageModel, kept: Kept) -> LanguageModel:
    """The pruned model, after the checks of the command."""
    smaller = replace(model, module=pruned(model.module, kept))
    check_pruned(model, smaller, kept)
    check_model(smaller)
    return smaller


def settings_of(model: LanguageModel) -> dict:
    ignored = ("_name_or_path", "architectures", "dtype", "transformers_version")
    return {k: x for k, x in model.module.config.to_dict().items() if k not in ignored}


@EVERY_KIND
@pytest.mark.parametrize("layers", OF_LAYERS)
def test_dropped_layers_give_the_model_that_is_built_for_the_others(kind, layers):
    model = deep(kind)
    per_layer = {name: OF_LAYERS[layers][name] for name in MODELS[kind][1]}
    by_hand = with_layers(kind, model, list(layers), **per_layer)
    smaller = made(model, Kept(layers))
    assert settings_of(smaller) == settings_of(by_hand)
    weights, expected = smaller.module.state_dict(), by_hand.module.state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    torch.testing.assert_close(logits(smaller), logits(by_hand))
    ids = torch.arange(3, 11)[None]
    decoded = [
        smaller.module.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=9,
            eos_token_id=None, use_cache=use_cache,
        )
        for use_cache in (True, False)
    ]  # fmt: skip
    assert torch.equal(*decoded) and decoded[0].shape[1] == 17


@EVERY_KIND
def test_keeping_everything_gives_the_same_model(kind):
    model = deep(kind)
    smaller = made(model, Kept(range(LAYERS)))
    assert settings_of(smaller) == settings_of(model)
    weights = smaller.module.state_dict()
    assert all(torch.equal(weights[k], w) for k, w in model.module.state_dict().items())
    assert torch.equal(logits(smaller), logits(model))


def zero_inputs(linear: nn.Module, indices: Tensor, size: int = 1) -> None:
    """Set the weights of some inputs of a linear map, in blocks of `size`, to zero."""
    weight = linear.weight if isinstance(linear, Conv1D) else linear.weight.T
    with torch.no_grad():
        weight.unflatten(0, (-1, size))[indices] = 0


@WITH_UNITS
def test_units_of_weight_zero_change_nothing(kind):
    """Other units are dropped in each layer, and every second layer is dropped too."""
    model = deep(kind)
    count, layers = units_of(model.module), [0, 2]
    order = [torch.randperm(count, generator=torch.Generator().manual_seed(i)) for i in layers]
    units = [indices[: count // 3].sort().values for indices in order]
    for i, indices in zip(layers, order, strict=True):
        linear = units_output(model.module, decoder_layers(model.module)[i])
        zero_inputs(linear, indices[count // 3 :])
    full = made(model, Kept(layers))
    smaller = made(model, Kept(layers, units))
    assert units_of(smaller.module) == count // 3
    torch.testing.assert_close(logits(smaller), logits(full), rtol=1e-6, atol=1e-6)


# Query heads and key-value heads: fewer in each group, or fewer groups.
HEADS = {"fewer in each group": [([0, 3], [0, 1]), ([1, 2], [0, 1])],
         "fewer groups": [([2, 3], [1]), ([0, 1], [0])],
         "both": [([2], [1]), ([0], [0])]}  # fmt: skip


WITH_HEADS = ("llama", "mistral", "qwen2", "qwen3", "phi3", "gemma3_text", "cohere2", "smollm3",
              "mixtral")  # fmt: skip


@pytest.mark.parametrize("kind", WITH_HEADS)
@pytest.mark.parametrize("heads", HEADS.values(), ids=HEADS)
def test_heads_of_weight_zero_change_nothing(kind, heads):
    model, layers = deep(kind), [0, 2]
    sizes = HeadSizes.of(model.module)
    for i, (stay, _) in zip(layers, heads, strict=True):
        linear = heads_output(model.module, decoder_layers(model.module)[i])
        drop = torch.tensor([head for head in range(sizes.heads) if head not in stay])
        zero_inputs(linear, drop, sizes.size)
    kept = [tuple(map(torch.tensor, pair)) for pair in heads]
    smaller = made(model, Kept(layers, heads=kept))
    config = smaller.module.config
    assert config.head_dim == sizes.size
    assert (config.num_attention_heads, config.num_key_value_heads) == tuple(map(len, heads[0]))
    full = made(model, Kept(layers))
    torch.testing.assert_close(logits(smaller), logits(full), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["gpt2", "gptj", "gpt_neo", "gpt_neox", "opt"])
def test_heads_that_share_the_hidden_size_cannot_be_dropped(kind):
    half = (torch.tensor([0, 2]), torch.tensor([0, 2]))
    with pytest.raises(InputError, match="fewer heads would be larger"):
        pruned(deep(kind).module, Kept(range(LAYERS), heads=[half] * LAYERS))


def test_a_layer_with_another_kind_of_attention_is_noticed(monkeypatch):
    """As in a family whose config names the kinds in a way that `pruned_config` does not know."""
    model = deep("smollm3")
    monkeypatch.setattr(cut, "NOT_PER_LAYER", ("no_rope_layers",))
    with pytest.raises(InputError, match="SmolLM3ForCausalLM cannot be pruned in this way"):
        made(model, Kept([0, 3]))
