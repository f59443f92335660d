"""Tiny stock models of four layers, with attention that differs between the layers."""

import torch

from minillm.models.language_model import LanguageModel
from minillm.models.layers import decoder_layers
from tests.models.stock_models import build

LAYERS, HEADS, KV_HEADS, UNITS = 4, 4, 2, 24
GPT = {"n_layer": LAYERS, "n_head": HEADS}
LLAMA = {"num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
         "num_key_value_heads": KV_HEADS, "head_dim": 4, "hidden_size": 16,
         "intermediate_size": UNITS}  # fmt: skip
WINDOW = {"sliding_window": 3}
MIXED = ["sliding_attention", "full_attention", "full_attention", "sliding_attention"]
NEOX = {"num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "hidden_size": 16,
        "intermediate_size": UNITS}  # fmt: skip
# Families whose settings are not the same for all layers have a second entry: those settings.
MODELS = {
    "llama": (LLAMA, {}),
    "mistral": (LLAMA | WINDOW, {}),
    "qwen2": ({**LLAMA, **WINDOW, "use_sliding_window": True}, {"layer_types": MIXED}),
    "qwen3": (LLAMA, {}),
    "phi3": (LLAMA, {}),
    "gemma3_text": (LLAMA | WINDOW, {"layer_types": MIXED}),
    "cohere2": (LLAMA | WINDOW, {"layer_types": MIXED}),
    "smollm3": (LLAMA | {"use_sliding_window": False}, {"no_rope_layers": [1, 0, 0, 1]}),
    "mixtral": (LLAMA | {"num_local_experts": 4, "num_experts_per_tok": 2}, {}),
    "gpt2": (GPT, {}),
    "gptj": (GPT | {"rotary_dim": 4}, {}),
    "gpt_neo": ({"num_layers": LAYERS, "num_heads": HEADS, "window_size": 3},
                {"attention_types": [[["local"], 1], [["global"], 2], [["local"], 1]]}),
    "gpt_neox": (NEOX, {}),
    "opt": ({"num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "ffn_dim": UNITS}, {}),
}  # fmt: skip
# A loaded GPT-J has the sines of its positions in float32.
DTYPES = {"gptj": torch.float32}
LAYER_COUNT = {"gpt2": "n_layer", "gptj": "n_layer", "gpt_neo": "num_layers"}


def deep(kind: str, **changes) -> LanguageModel:
    settings, per_layer = MODELS[kind]
    model = build(kind, 1, DTYPES.get(kind, torch.float64), **settings | per_layer | changes)
    if kind == "mixtral":  # torch has no grouped matrix products in float64
        model.module.set_experts_implementation("eager")
    return model


def with_layers(kind: str, model: LanguageModel, layers: list[int], **per_layer) -> LanguageModel:
    """A model built for these layers, with the weights of `model` copied one by one."""
    name = LAYER_COUNT.get(kind, "num_hidden_layers")
    shorter = deep(kind, **{name: len(layers)}, **per_layer)
    others = {k: w for k, w in model.module.state_dict().items() if not any(
        f".{i}." in k for i in range(LAYERS))}  # fmt: skip
    shorter.module.load_state_dict(others, strict=False)
    for new, old in zip(decoder_layers(shorter.module), layers, strict=True):
        new.load_state_dict(decoder_layers(model.module)[old].state_dict())
    return shorter
