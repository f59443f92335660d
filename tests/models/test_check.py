"""Models that training or the sampler would read wrongly are refused when they are loaded."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Emu3Config,
    Gemma3Config,
    Llama4Config,
    Llama4TextConfig,
    Phi3Config,
    PretrainedConfig,
)

from minillm.data.batches import PromptBatch, SequenceBatch
from minillm.errors import InputError
from minillm.models.check import check_model
from minillm.models.forward import response_hidden
from minillm.models.language_model import LanguageModel
from minillm.models.limits import check_length, column_limit
from minillm.models.reader import CachedReader
from minillm.sampling.sampler import Decoding, sample
from tests.models.stock_models import GPT, LLAMA, ROWS, build

BERT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 32, "is_decoder": True}  # fmt: skip
BART = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "decoder_attention_heads": 2,
        "decoder_ffn_dim": 32}  # fmt: skip
PAIRS = [([5, 6, 7, 8], [9, 10]), ([13], [15])]


def untrained(kind: str, **shape) -> LanguageModel:
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 1}
    config = AutoConfig.for_model(kind, vocab_size=ROWS, **shape, **special)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = AutoModelForCausalLM.from_config(config).eval()
    return LanguageModel(module, SimpleNamespace(pad_token_id=1), ROWS, (2,))


def test_unknown_changes_of_logits_are_refused():
    model = build("llama", seed=1)
    hook = model.module.register_forward_hook(
        lambda _, __, output: type(output)(logits=output.logits * 0.5)
    )
    with pytest.raises(InputError, match="LlamaForCausalLM changes its logits"):
        check_model(model)
    hook.remove()


def test_a_model_that_reads_later_tokens_is_refused():
    model = untrained("bert", **BERT | {"is_decoder": False})
    with pytest.raises(InputError, match=r"BertLMHeadModel\) is not a causal language model"):
        check_model(model)


@pytest.mark.parametrize("kind", ["bert", "electra", "modernbert-decoder"])
def test_a_model_with_a_layer_between_the_last_hidden_states_and_the_head_is_refused(kind):
    with pytest.raises(InputError, match="changes its last hidden states before the output head"):
        check_model(untrained(kind, **BERT))


def test_a_model_whose_positions_count_padding_is_refused():
    with pytest.raises(InputError, match=r"BartForCausalLM\) gives other predictions if its pro"):
        check_model(untrained("bart", **BART))


def test_a_model_whose_positions_count_the_columns_of_the_cache_is_refused(monkeypatch):
    """Rotary positions are relative, so that only rows that leave or join the cache change them."""
    model = build("llama", seed=1)
    body, installed_name = type(model.module.model), CachedReader(model).cache_argument

    def forward(self, past_key_values=None, original=body.forward, **inputs):
        inputs.pop("position_ids", None)
        return original(self, **{installed_name: past_key_values} | inputs)

    monkeypatch.setattr(body, "forward", forward)
    with pytest.raises(InputError, match="its prompts are padded on the left"):
        check_model(model)


def test_a_model_that_reads_padding_in_its_cache_is_refused():
    """GIT masks padding in prompts only: later it expects the columns of an image in the mask."""
    model = untrained("git", **BERT, vision_config={**BERT, "image_size": 8, "patch_size": 4})
    with pytest.raises(InputError, match="its prompts are padded on the left"):
        check_model(model)


def test_numbers_that_are_not_finite_are_refused():
    model = build("llama", seed=1)
    model.module.model.norm.weight.data.fill_(torch.inf)
    with pytest.raises(InputError, match="gives NaN or infinity"):
        check_model(model)
    # In float64, Gemma 2 gives NaN to tokens after padding.
    with pytest.raises(InputError, match="its prompts are padded on the left"):
        check_model(build("gemma2", seed=1, num_hidden_layers=2))


def test_a_model_that_ignores_logits_to_keep_is_refused():
    model = build("llama", seed=1)
    forward = model.module.forward
    model.module.forward = lambda logits_to_keep=0, **inputs: forward(**inputs)
    with pytest.raises(InputError, match="ignores logits_to_keep"):
        check_model(model)


@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [("mamba", {"hidden_size": 16, "num_hidden_layers": 1}, "'mamba' cannot be sampled from"),
     ("openai-gpt", GPT, "does not store the keys and values of all layers"),
     ("xmod", BERT, "fails in a forward pass: ValueError: Input language unknown")],
)  # fmt: skip
def test_a_model_that_fails_in_the_sampler_is_refused(kind, shape, message):
    with pytest.raises(InputError, match=message):
        check_model(untrained(kind, **shape))


def test_a_model_whose_checkpoints_cannot_be_loaded_is_refused():
    config = Emu3Config(text_config=LLAMA)
    model = build("llama", seed=1)
    model.module.config = config.text_config
    with pytest.raises(InputError, match="transformers has no model for a Emu3TextConfig"):
        check_model(model)


def test_the_body_is_found_if_its_name_is_not_known():
    """The `base_model` of Llama 4 is the whole model."""
    model = untrained("llama4_text", **LLAMA, num_local_experts=2, intermediate_size_mlp=32,
                      attention_chunk_size=4)  # fmt: skip
    assert model.module.base_model is model.module
    check_model(model)
    prompts = PromptBatch.pad([prompt for prompt, _ in PAIRS], 1)
    rollout = sample(model, prompts, Decoding(3), generator=torch.Generator())
    assert rollout.student_log_probs.isfinite().all()


class Adapted(nn.Module):
    """Wraps a model as PEFT does: the signature of the forward method is not that of the model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.base_model = nn.Module()
        self.base_model.model = model

    def get_base_model(self) -> nn.Module:
        return self.base_model.model

    def __getattr__(self, name: str):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.base_model.model, name)

    def forward(self, *args, **kwargs):
        return self.base_model.model(*args, **kwargs)


@pytest.mark.parametrize("kind", ["gpt2", "cohere"])  # Cohere has an attribute that scales logits
def test_a_model_inside_a_wrapper_is_read_as_without_it(kind):
    model = build(kind, seed=1)
    wrapped = LanguageModel(Adapted(model.module), model.tokenizer, model.vocab_size, model.eos_ids)
    check_model(wrapped)
    batch, prompts = SequenceBatch.pad(PAIRS, 1), PromptBatch.pad([x for x, _ in PAIRS], 1)
    assert torch.equal(response_hidden(wrapped, batch), response_hidden(model, batch))
    rollouts = [
        sample(x, prompts, Decoding(4), generator=torch.Generator().manual_seed(1))
        for x in (model, wrapped)
    ]
    assert torch.equal(*(rollout.student_log_probs for rollout in rollouts))


TEXT = {"hidden_size": 24, "num_hidden_layers": 3, "max_position_embeddings": 40}


@pytest.mark.parametrize(
    "config", [Gemma3Config(text_config=TEXT), Llama4Config(text_config=TEXT)], ids=type
)
def test_sizes_are_read_from_the_config_of_the_text_part(config: PretrainedConfig):
    model = LanguageModel(SimpleNamespace(config=config), SimpleNamespace(), ROWS, (2,))
    assert model.description == f"{config.model_type} 24x3"
    assert column_limit(config) > 40
    with pytest.raises(InputError, match="has 40 positions"):
        check_length(config, "model", 41)


LONGROPE = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4,
            "long_factor": [4.0] * 4}  # fmt: skip
PHI3 = Phi3Config(hidden_size=16, num_attention_heads=2, original_max_position_embeddings=16,
                  rope_parameters=LONGROPE)  # fmt: skip


@pytest.mark.parametrize(
    ("config", "limit", "message"),
    [
        (PHI3, 16, "reads a batch in another way"),
        (Llama4TextConfig(floor_scale=16), 15, "counts padding as tokens"),
    ],
    ids=["longrope", "llama4"],
)
def test_lengths_at_which_the_rows_of_a_batch_change_each_other_are_refused(config, limit, message):
    check_length(config, "model", limit)
    with pytest.raises(InputError, match=f"{message}.*longest sequence has {limit + 1} tokens"):
        check_length(config, "model", limit + 1)


def test_no_row_joins_a_batch_if_the_columns_would_change_its_predictions():
    assert column_limit(Llama4TextConfig(floor_scale=16)) == 15
    assert column_limit(PHI3) == math.inf  # Phi-3 counts positions only
