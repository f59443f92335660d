"""Refuses models whose predictions in training or in the sampler would be wrong.

The check compares the hidden states that are used with the inputs of the output head in a plain
forward pass. The inputs are tiny, and the model makes five forward passes.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

from minillm.data.batches import PromptBatch, SequenceBatch
from minillm.errors import InputError, first_line
from minillm.models.forward import response_hidden
from minillm.models.heads import AFTER_THE_HEAD, captured_hidden, output_head
from minillm.models.language_model import LanguageModel
from minillm.models.reader import CachedReader

PROMPT, LENGTH = 5, 7  # tokens of the longer prompt, and of the longer sequence


@torch.no_grad()
def check_model(model: LanguageModel) -> None:
    """Refuse a model that is not causal, or that training or the sampler would read wrongly.

    Raises:
        InputError: transformers cannot load its checkpoints; hidden states are not finite numbers;
            the last token changes earlier logits; logits differ from the logits of `output_head`;
            the cache of the model cannot mask padding; hidden states of padded sequences, or of
            sequences in the cache, differ from the inputs of the output head; or a forward pass
            fails.
    """
    _check_config(model)
    ids = probe_ids(model)
    mask = torch.ones_like(ids)
    with _errors_explained(model):
        with captured_hidden(model.module) as captured, model.precision():
            output = model.module(input_ids=ids, attention_mask=mask, use_cache=False)
        logits, hidden = output.logits[..., : model.vocab_size], captured[0]
        _check_finite(model, hidden)
        _check_causal(model, logits[:, :-1])
        _check_head(model, hidden, logits)
        _check_sampler(model, ids[0], hidden[0])
        _check_training(model, ids[0], hidden[0])


def probe_ids(model: LanguageModel) -> Tensor:
    """Two sequences `[2, LENGTH]` that differ only in the last token. No token is padding."""
    config = model.module.config.get_text_config()
    padding = {model.pad_id, getattr(config, "pad_token_id", None)}
    usable = [token for token in range(model.vocab_size) if token not in padding]
    first = [usable[len(usable) * i // (LENGTH + 1)] for i in range(LENGTH)]
    return torch.tensor([first, [*first[:-1], usable[0]]], device=model.device)


def _check_config(model: LanguageModel) -> None:
    """Refuse a config for which transformers has no model: that of a part of another model."""
    if type(model.module.config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise InputError(
            f"{_name(model)} cannot be saved so that AutoModelForCausalLM loads it again: "
            f"transformers has no model for a {type(model.module.config).__name__}. Use another "
            f"model."
        )


def _check_finite(model: LanguageModel, hidden: Tensor) -> None:
    """Refuse inputs of the head that are not finite numbers."""
    if not hidden.isfinite().all():
        raise InputError(
            f"{_name(model)} gives NaN or infinity as hidden states in {hidden.dtype}. Use another "
            f"checkpoint, or load the model in float32."
        )


def _check_causal(model: LanguageModel, logits: Tensor) -> None:
    """Refuse different logits `[2, L, V]` of two sequences before the tokens that differ."""
    rounding = max(1e-4, 4 * _epsilon(model))
    difference = (logits[0] - logits[1]).abs().max()
    if difference > rounding * logits.abs().max():
        raise InputError(
            f"{_name(model)} is not a causal language model: its logits depend on later tokens. "
            f"Use a model that reads from left to right."
        )


def _check_head(model: LanguageModel, hidden: Tensor, logits: Tensor) -> None:
    """Refuse logits that `output_head` does not compute from the inputs of the head."""
    rebuilt = output_head(model).logits(hidden).to(logits.dtype)
    rounding = max(1e-3, _epsilon(model) * float(logits.abs().max()))
    if not torch.allclose(rebuilt, logits, rtol=1e-2, atol=rounding, equal_nan=True):
        raise InputError(
            f"{type(model.module).__name__} changes its logits after the output head in a way that "
            f"is not supported (supported: {', '.join(AFTER_THE_HEAD)}). Use another model, or add "
            f"the change to minillm/models/heads.py."
        )


def _check_sampler(model: LanguageModel, ids: Tensor, hidden: Tensor) -> None:
    """Compare the hidden states of the sampler with `hidden` `[L, d]` of the sequence `ids`.

    The sampler reads a long prompt and the first token of the sequence, padded on the left, and
    the next token of both. Then the long prompt leaves the cache, so that the column of each token
    of the other row changes.
    """
    prompts = PromptBatch.pad([ids[:PROMPT].tolist(), ids[:1].tolist()], model.pad_id)
    reader = CachedReader(model)
    together = reader.read(prompts.ids.to(model.device), prompts.mask.bool())
    if not is_close(model, together[0], hidden[:PROMPT], hidden):
        raise InputError(
            f"{_name(model)} changes its last hidden states before the output head, or does not "
            f"count positions from 0, so that the sampler would draw from another distribution. "
            f"Use a model whose output head reads the last hidden states."
        )
    if not all(layer.is_initialized for layer in reader.cache.layers):
        raise InputError(
            f"{_name(model)} does not store the keys and values of all layers in its cache, so "
            f"that the sampler cannot continue a response. Use a model that uses its cache."
        )
    next_ids = torch.stack([ids[PROMPT : PROMPT + 1], ids[1:2]])
    padded = reader.read(next_ids, torch.ones(2, 1, dtype=torch.bool))
    reader.keep(torch.tensor([1]))
    after = reader.read(ids[None, 2:4], torch.ones(1, 2, dtype=torch.bool))
    states = torch.cat([padded[0], together[1, -1:], padded[1], after[0]])
    expected = torch.cat([hidden[PROMPT : PROMPT + 1], hidden[:4]])
    if not is_close(model, states, expected, hidden):
        raise _padding_changes(model)


def _check_training(model: LanguageModel, ids: Tensor, hidden: Tensor) -> None:
    """Compare the hidden states of a padded batch with `hidden` `[L, d]` of the sequence `ids`."""
    tokens = ids.tolist()
    pairs = [(tokens[:PROMPT], tokens[PROMPT:]), (tokens[:1], tokens[1:2])]
    states = response_hidden(model, SequenceBatch.pad(pairs, model.pad_id).to(model.device))
    expected = hidden[PROMPT - 1 : LENGTH - 1]
    if states.shape[1] != len(expected):
        raise InputError(
            f"{_name(model)} cannot compute predictions of the last tokens only: its forward "
            f"method ignores logits_to_keep. Use another model."
        )
    real = torch.cat([states[0], states[1, :1]])
    if not is_close(model, real, torch.cat([expected, hidden[:1]]), hidden):
        raise _padding_changes(model)


def _padding_changes(model: LanguageModel) -> InputError:
    return InputError(
        f"{_name(model)} gives other predictions if its prompts are padded on the left, so that it "
        f"cannot read batches. Use a model whose forward method takes position_ids, or whose "
        f"positions do not depend on padding (ALiBi)."
    )


def is_close(model: LanguageModel, states: Tensor, expected: Tensor, sequence: Tensor) -> bool:
    """Whether hidden states `[N, d]` are equal up to rounding.

    The size of the difference is compared with the variation between the tokens of a `sequence`
    `[L, d]`, because some dimensions are large and the same for all tokens.
    """
    if states.shape != expected.shape:
        return False
    rounding = max(1e-3, 16 * _epsilon(model))
    states, expected, sequence = (x.double() for x in (states, expected, sequence))
    variation = (sequence - sequence.mean(0)).square().mean().sqrt()
    return bool((states - expected).square().mean().sqrt() <= rounding * variation)


def _epsilon(model: LanguageModel) -> float:
    """The relative rounding error of the model's forward passes."""
    return torch.finfo(model.autocast or model.module.dtype).eps


@contextmanager
def _errors_explained(model: LanguageModel) -> Iterator[None]:
    """Turn errors of the model's forward passes into an InputError."""
    try:
        yield
    except (InputError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise InputError(
            f"{_name(model)} fails in a forward pass: {_in_words(error)}. Use another model, or "
            f"another runtime.attn_implementation."
        ) from error


def _in_words(error: Exception) -> str:
    """The type of an error, and its message if it has one."""
    return ": ".join(dict.fromkeys([type(error).__name__, first_line(error)]))


def _name(model: LanguageModel) -> str:
    return f"{model.module.name_or_path} ({type(model.module).__name__})"
