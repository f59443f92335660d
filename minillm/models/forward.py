"""Passes over left-padded prompts and right-padded responses, with position ids that are right.

Positions count real tokens only. Without explicit ids, a model with absolute positions (GPT-2)
reads left-padded prompts at shifted positions.
"""

import inspect
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from minillm.data.batches import SequenceBatch
from minillm.models.cache import growing_cache, join, keep_rows
from minillm.models.heads import head_replaced
from minillm.models.language_model import LanguageModel
from minillm.objectives.chunked import (
    Head,
    Teacher,
    VocabularyTerms,
    vocabulary_loss,
    vocabulary_terms,
)


def position_ids(mask: Tensor) -> Tensor:
    """Positions `[B, L]` of the real tokens of a mask `[B, L]`, from 0; 0 on leading padding."""
    return (mask.cumsum(-1) - 1).clamp(min=0)


def _takes_positions(module: nn.Module) -> bool:
    """Models that derive positions from the mask alone (ALiBi) have no such argument."""
    return "position_ids" in inspect.signature(type(module).forward).parameters


def response_hidden(model: LanguageModel, batch: SequenceBatch) -> Tensor:
    """Last hidden states `[B, T, d]` that predict each response token; no logits are made."""
    hidden = _through_head(model.module, batch.to(model.device), model, lambda hidden, _: hidden)
    return hidden[:, :-1].to(batch.response_ids.device)


@torch.no_grad()
def response_terms(
    model: LanguageModel,
    batch: SequenceBatch,
    terms: Sequence[str],
    teacher: Teacher | None = None,
) -> VocabularyTerms:
    """The `terms` `[B, T]` of each response token, 0 on padding, which costs nothing.

    They have no gradient, ever: `response_loss` is to train on.

    Args:
        model: reads the batch.
        batch: prompts and responses.
        terms: names of `VocabularyTerms`.
        teacher: its last hidden states `[B, T, d']` and its head, where a term needs them.
    """
    real = _RealTokens(batch, teacher)

    def compute(hidden: Tensor, head: Head) -> Tensor:
        found = vocabulary_terms(real.of(hidden[:, :-1]), head, real.ids, terms, real.teacher)
        return real.everywhere(found, terms)

    return VocabularyTerms.of(terms, _through_head(model.module, batch, model, compute).unbind(-1))


def response_loss(
    module: nn.Module,
    batch: SequenceBatch,
    model: LanguageModel,
    terms: Sequence[str],
    loss: Callable[..., Tensor],
    given: Sequence[Tensor] = (),
    teacher: Teacher | None = None,
    chunk_size: int | None = None,
) -> tuple[Tensor, VocabularyTerms]:
    """The sum of the response tokens' losses, and the `terms` `[B, T]` without gradient.

    What divides the sum should come after (`vocabulary_loss`).

    Args:
        module: the model as the caller may have wrapped it (DDP, DeepSpeed).
        batch: prompts and responses.
        model: describes the model.
        terms: names of `VocabularyTerms`.
        loss: `loss(terms, *given)` of some tokens, all `[n]`, is the loss of each, `[n]`.
        given: what else a token's loss is made of, `[B, T]` each.
        teacher: its last hidden states `[B, T, d']` and its head, where a term needs them.
        chunk_size: tokens in a chunk of logits; None for as many as the device should take.
    """
    real = _RealTokens(batch, teacher)

    def compute(hidden: Tensor, head: Head) -> Tensor:
        total, found = vocabulary_loss(
            real.of(hidden[:, :-1]), head, real.ids, terms, loss, [real.of(x) for x in given],
            real.teacher, chunk_size,
        )  # fmt: skip
        # One tensor, as it goes the way that logits go.
        return torch.cat([total[None], real.everywhere(found, terms).flatten()])

    output = _through_head(module, batch, model, compute)
    values = output[1:].detach().view(*batch.response_ids.shape, len(terms)).unbind(-1)
    return output[0], VocabularyTerms.of(terms, values)


class _RealTokens:
    """The N response tokens of a batch that are no padding.

    Attributes:
        places: `[N]` in `[B * T]`.
        ids: `[N]`.
        teacher: its hidden states `[N, d']` and its head, where there is one.
    """

    def __init__(self, batch: SequenceBatch, teacher: Teacher | None) -> None:
        self.shape = batch.response_ids.shape
        self.places = batch.response_mask.flatten().nonzero()[:, 0]
        self.ids = self.of(batch.response_ids)
        self.teacher = (self.of(teacher[0]), teacher[1]) if teacher else None

    def of(self, values: Tensor) -> Tensor:
        """Theirs `[N, ...]` of all `[B, T, ...]`."""
        return values.flatten(0, 1).index_select(0, self.places)

    def everywhere(self, found: VocabularyTerms, terms: Sequence[str]) -> Tensor:
        """The terms `[B, T, K]`, 0 on padding."""
        values = torch.stack([getattr(found, name) for name in terms], dim=-1)
        everywhere = values.new_zeros(self.shape.numel(), len(terms))
        return everywhere.index_copy(0, self.places, values).unflatten(0, self.shape)


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

    Holds the key-value cache and the mask `[B, L]` of all that was read. Each row's tokens are next
    to each other; only rows that are at their end may be padded on the right.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.body = model.module.base_model
        self.cache = growing_cache(model.module.config)
        self.takes_positions = _takes_positions(self.body)
        self.mask: Tensor | None = None
        self.lengths: Tensor | int = 0  # [B] real tokens read

    def read(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Read `ids` `[B, S]` next to all before; the last hidden states `[B, S, d]`.

        These are where the ids are, wherever the model is.
        """
        device, own = ids.device, self.model.device
        ids, mask = ids.to(own), mask.to(own)
        counts = mask.cumsum(-1)
        positions = {}
        if self.takes_positions:
            before = self.lengths[:, None] if self.mask is not None else 0
            positions["position_ids"] = (before + counts - 1).clamp(min=0)
        self.lengths = self.lengths + counts[:, -1]
        self.mask = mask if self.mask is None else torch.cat([self.mask, mask], dim=1)
        return self.body(
            input_ids=ids,
            attention_mask=self.mask,
            past_key_values=self.cache,
            use_cache=True,
            **positions,
        ).last_hidden_state.to(device)

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these (indices), and the leading columns that none of them uses."""
        rows = rows.to(self.mask.device)
        mask = self.mask[rows]
        first = int(mask.any(0).int().argmax())
        self.mask, self.lengths = mask[:, first:], self.lengths[rows]
        keep_rows(self.cache, rows, first)

    def join(self, other: "CachedReader") -> None:
        """Take over the rows of another reader of the same model, behind those here."""
        width = max(self.mask.shape[1], other.mask.shape[1])
        masks = [functional.pad(x, (width - x.shape[1], 0)) for x in (self.mask, other.mask)]
        self.mask = torch.cat(masks)
        self.lengths = torch.cat([self.lengths, other.lengths])
        join(self.cache, other.cache)


def column_limit(model: LanguageModel) -> float:
    """How many columns, padding and all, the model's cache may have."""
    # GPT-Neo looks up what a column may see in a table of that size; others compute it.
    config = model.module.config
    return config.max_position_embeddings if config.model_type == "gpt_neo" else math.inf
