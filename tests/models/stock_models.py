"""Tiny stock models with more output rows than tokens, in float64."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from minillm.models.language_model import LanguageModel

VOCAB, ROWS = 41, 48
GPT = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
LLAMA = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
         "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8}  # fmt: skip
MODELS = {
    "gpt2": GPT,
    "gptj": GPT | {"rotary_dim": 4, "tie_word_embeddings": False},
    "gpt_neo": {"hidden_size": 16, "num_layers": 1, "num_heads": 2,
                "attention_types": [[["global"], 1]]},
    "opt": {"hidden_size": 16, "ffn_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "word_embed_proj_dim": 8},
    "llama": LLAMA,
    "qwen2": LLAMA | {"tie_word_embeddings": True},
    "qwen3": LLAMA,
    "gemma2": LLAMA | {"final_logit_softcapping": 3.0},
    "cohere": LLAMA | {"logit_scale": 0.4},
    "granite": LLAMA | {"logits_scaling": 3.0},
    "hyperclovax": LLAMA | {"logits_scaling": 3.0},
}  # fmt: skip
EVERY_MODEL = pytest.mark.parametrize("kind", MODELS)


def build(kind: str, seed: int, dtype: torch.dtype = torch.float64, **changes) -> LanguageModel:
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 1}
    config = AutoConfig.for_model(
        kind, vocab_size=ROWS, **MODELS.get(kind, {}) | changes, **special
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
        for parameter in module.parameters():
            if parameter.dim() > 1 or parameter.shape[0] == ROWS:
                nn.init.normal_(parameter, std=0.6)
    return LanguageModel(module, SimpleNamespace(pad_token_id=1), VOCAB, (2,))


class Wrapper(nn.Module):
    """Wraps a model like a distributed engine, and counts the passes through the wrapper."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module, self.passes = module, 0

    def forward(self, **inputs):
        self.passes += 1
        return self.module(**inputs)
