"""Passes over left-padded prompts and right-padded responses, with position ids that are right.

Positions count real tokens only. Without explicit ids, a model with absolute positions (GPT-2)
reads left-padded prompts at shifted positions.
"""

import inspect

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from minillm.data.batches import PromptBatch, SequenceBatch
from minillm.models.language_model import LanguageModel


def position_ids(mask: Tensor) -> Tensor:
    """Positions `[B, L]` of the real tokens of a mask `[B, L]`, from 0; 0 on leading padding."""
    return (mask.cumsum(-1) - 1).clamp(min=0)


def _takes_positions(module: nn.Module) -> bool:
    """Models that derive positions from the mask alone (ALiBi) have no such argument."""
    return "position_ids" in inspect.signature(type(module).forward).parameters


def response_logits(module: nn.Module, batch: SequenceBatch, model: LanguageModel) -> Tensor:
    """Logits `[B, T, V]` that predict each response token, padding vocabulary cut.

    `module` is the model as the caller may have wrapped it (DDP, DeepSpeed); `model` describes it.
    """
    mask = torch.cat([batch.prompt_mask, batch.response_mask], dim=1)
    positions = {"position_ids": position_ids(mask)} if _takes_positions(model.module) else {}
    logits = module(
        input_ids=torch.cat([batch.prompt_ids, batch.response_ids], dim=1),
        attention_mask=mask,
        logits_to_keep=batch.response_ids.shape[1] + 1,  # from the last prompt token on
        use_cache=False,
        **positions,
    ).logits
    return logits[:, :-1, : model.vocab_size]


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
