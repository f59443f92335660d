"""Tiny random models in float64, whose responses can be enumerated."""

from itertools import product
from types import SimpleNamespace

import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTJConfig,
    GPTNeoConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from minillm.data.batches import SequenceBatch
from minillm.models.forward import position_ids
from minillm.models.language_model import LanguageModel

EOS = 0


def tiny_config(kind: str, **shared) -> PretrainedConfig:
    """Two layers of width 8 with two heads, for each model family."""
    llama = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2,
             "num_attention_heads": 2, "max_position_embeddings": 32} | shared  # fmt: skip
    grouped = llama | {"num_key_value_heads": 1}
    gpt = {"n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 32} | shared
    configs = {
        "gpt2": lambda: GPT2Config(**gpt),
        "llama": lambda: LlamaConfig(**llama),
        "opt": lambda: OPTConfig(**llama, ffn_dim=16, word_embed_proj_dim=6),
        "qwen2": lambda: Qwen2Config(**grouped),
        "qwen3": lambda: Qwen3Config(**grouped, head_dim=4),
        "gptj": lambda: GPTJConfig(**gpt, rotary_dim=2),
        "gpt_neo": lambda: GPTNeoConfig(
            hidden_size=8, num_layers=2, num_heads=2, max_position_embeddings=32, window_size=4,
            attention_types=[[["global", "local"], 1]], **shared,
        ),
        "mistral": lambda: MistralConfig(**grouped, sliding_window=4),
    }  # fmt: skip
    return configs[kind]()


def tiny_model(seed: int, vocab_size: int = 4, kind: str = "gpt2") -> LanguageModel:
    """Two layers of width 8 with peaked distributions; token 0 is both EOS and padding."""
    config = tiny_config(kind, vocab_size=vocab_size, bos_token_id=EOS, eos_token_id=EOS)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = AutoModelForCausalLM.from_config(config, dtype=torch.float64).eval()
        for parameter in module.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.7)
    tokenizer = SimpleNamespace(pad_token_id=EOS, eos_token_id=EOS)
    return LanguageModel(module, tokenizer, vocab_size, (EOS,))


def all_responses(prompt: list[int], vocab_size: int, length: int) -> SequenceBatch:
    """Every response of at most `length` tokens that ends in EOS or fills the limit."""
    responses = [
        ids
        for size in range(1, length + 1)
        for ids in product(range(vocab_size), repeat=size)
        if EOS not in ids[:-1] and (ids[-1] == EOS or size == length)
    ]
    return SequenceBatch.pad([(prompt, list(ids)) for ids in responses], EOS)


def response_logits(model: LanguageModel, batch: SequenceBatch) -> torch.Tensor:
    """Logits `[B, T, V]` of each response token, from one plain forward pass of the model."""
    mask = torch.cat([batch.prompt_mask, batch.response_mask], dim=1)
    ids = torch.cat([batch.prompt_ids, batch.response_ids], dim=1)
    logits = model.module(ids, attention_mask=mask, position_ids=position_ids(mask)).logits
    first = batch.prompt_ids.shape[1] - 1
    return logits[:, first:-1, : model.vocab_size]


@torch.no_grad()
def log_prob_table(model: LanguageModel, batch: SequenceBatch) -> torch.Tensor:
    """Log-probability `[B, T]` of each response token from one full forward pass; 0 on padding."""
    log_probs = response_logits(model, batch).log_softmax(-1)
    chosen = log_probs.gather(-1, batch.response_ids[..., None])[..., 0]
    return chosen.masked_fill(batch.response_mask == 0, 0.0)


def chi_square_p(observed: torch.Tensor, probabilities: torch.Tensor) -> float:
    """The p-value of `observed` counts under `probabilities`; rare outcomes are pooled."""
    expected = probabilities * observed.sum()
    rare = expected < 5
    observed = torch.cat([observed[~rare], observed[rare].sum()[None]])
    expected = torch.cat([expected[~rare], expected[rare].sum().clamp(min=1e-9)[None]])
    statistic = ((observed - expected) ** 2 / expected).sum()
    freedom = torch.tensor(len(expected) - 1, dtype=torch.float64)
    return float(torch.special.gammaincc(freedom / 2, statistic / 2))
