"""Passes over left-padded prompts and right-padded responses, with position ids that are right.

Positions count real tokens only. Without explicit ids, a model with absolute positions (GPT-2)
reads left-padded prompts at shifted positions.
"""

import inspect
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from minillm.data.batches import PromptBatch, SequenceBatch
from minillm.models.heads import head_replaced
from minillm.models.language_model import LanguageModel
from minillm.objectives.chunked import Head, VocabularyTerms, vocabulary_terms


def position_ids(mask: Tensor) -> Tensor:
    """Positions `[B, L]` of the real tokens of a mask `[B, L]`, from 0; 0 on leading padding."""
    return (mask.cumsum(-1) - 1).clamp(min=0)


def _takes_positions(module: nn.Module) -> bool:
    """Models that derive positions from the mask alone (ALiBi) have no such argument."""
    return "position_ids" in inspect.signature(type(module).forward).parameters


def response_hidden(module: nn.Module, batch: SequenceBatch, model: LanguageModel) -> Tensor:
    """Last hidden states `[B, T, d]` that predict each response token; no logits are made.

    `module` is the model as the caller may have wrapped it (DDP, DeepSpeed); `model` describes it.
    """
    return _through_head(module, batch, model, lambda hidden, _: hidden)[:, :-1]


def response_terms(
    module: nn.Module,
    batch: SequenceBatch,
    model: LanguageModel,
    terms: Sequence[str],
    teacher: tuple[Tensor, Head] | None = None,
    chunk_size: int | None = None,
) -> VocabularyTerms:
    """The `terms` `[B, T]` of each response token, 0 on padding, which costs nothing.

    Args:
        module: the model as the caller may have wrapped it.
        batch: prompts and responses.
        model: describes the model.
        terms: names of `VocabularyTerms`.
        teacher: its last hidden states `[B, T, d']` and its head, where a term needs them.
        chunk_size: tokens in a chunk of logits; None for as many as the device should take.
    """
    shape = batch.response_ids.shape
    real = batch.response_mask.flatten().nonzero()[:, 0]  # [N]
    ids = batch.response_ids.flatten()[real]

    def at_real_tokens(hidden: Tensor) -> Tensor:
        return hidden.flatten(0, 1).index_select(0, real)

    def compute(hidden: Tensor, head: Head) -> Tensor:
        states = (at_real_tokens(teacher[0]), teacher[1]) if teacher else (None, None)
        found = vocabulary_terms(
            at_real_tokens(hidden[:, :-1]), head, ids, terms, *states, chunk_size
        )
        values = torch.stack([getattr(found, name) for name in terms], dim=-1)  # [N, K]
        everywhere = values.new_zeros(shape.numel(), len(terms))
        return everywhere.index_copy(0, real, values).unflatten(0, shape)

    values = _through_head(module, batch, model, compute).unbind(-1)
    return VocabularyTerms(**dict(zip(terms, values, strict=True)))


def _through_head(
    module: nn.Module,
    batch: SequenceBatch,
    model: LanguageModel,
    function: Callable[[Tensor, Head], Tensor],
) -> Tensor:
    """What `function` makes of the hidden states `[B, T + 1, d]` from the last prompt token on."""
    mask = torch.cat([batch.prompt_mask, batch.response_mask], dim=1)
    positions = {"position_ids": position_ids(mask)} if _takes_positions(model.module) else {}
    with head_replaced(model, function):
        return module(
            input_ids=torch.cat([batch.prompt_ids, batch.response_ids], dim=1),
            attention_mask=mask,
            logits_to_keep=batch.response_ids.shape[1] + 1,
            use_cache=False,
            **positions,
        ).logits


class CachedReader:
    """Reads a batch of growing sequences piece by piece, each token once.

    Holds the key-value cache and the mask of all that was read.
    """

    def __init__(self, model: LanguageModel, prompts: PromptBatch) -> None:
        self.model = model
        self.prompts = prompts
        self.cache = DynamicCache(config=model.module.config)
        self.mask = prompts.mask[:, :0]
        self.takes_positions = _takes_positions(model.module)
        self.calls = 0

    def read(self, ids: Tensor, mask: Tensor, keep: int) -> Tensor:
        """Read `ids` `[B, S]` next to all before; float32 logits `[B, keep, V]` of the last ones.

        The prompt is read together with the first piece.
        """
        if self.calls == 0:
            ids = torch.cat([self.prompts.ids, ids], dim=1)
            mask = torch.cat([self.prompts.mask, mask], dim=1)
        self.mask = torch.cat([self.mask, mask], dim=1)
        self.calls += 1
        positions = {}
        if self.takes_positions:
            positions["position_ids"] = position_ids(self.mask)[:, -ids.shape[1] :]
        logits = self.model.module(
            input_ids=ids,
            attention_mask=self.mask,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=keep,
            **positions,
        ).logits
        # At least float32, whatever the model computes in.
        return logits[..., : self.model.vocab_size].to(
            torch.promote_types(logits.dtype, torch.float32)
        )
