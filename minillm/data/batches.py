"""Tensors of a batch: prompts padded on the left, responses padded on the right, and their masks.

A mask is 1 on real tokens and 0 on padding. Only the mask identifies padding: the pad token and EOS
may have the same id.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


def pad_left(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Ids and mask `[B, P]`; padding is on the left of each row."""
    width = max(map(len, rows))
    ids = [[pad_id] * (width - len(row)) + list(row) for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids), torch.tensor(mask)


def pad_right(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Ids and mask `[B, T]`; padding is on the right of each row."""
    width = max(map(len, rows))
    ids = [list(row) + [pad_id] * (width - len(row)) for row in rows]
    mask = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
    return torch.tensor(ids), torch.tensor(mask)


@dataclass(frozen=True)
class PromptBatch:
    """Left-padded prompts: `ids` and `mask` are int64 `[B, P]`."""

    ids: Tensor
    mask: Tensor

    @staticmethod
    def pad(prompts: Sequence[Sequence[int]], pad_id: int) -> "PromptBatch":
        return PromptBatch(*pad_left(prompts, pad_id))

    def to(self, device: torch.device) -> "PromptBatch":
        return PromptBatch(self.ids.to(device), self.mask.to(device))

    def select(self, rows: Tensor) -> "PromptBatch":
        """Some rows, cut to their longest prompt."""
        mask = self.mask[rows]
        first = self.mask.shape[1] - int(mask.sum(-1).max())
        return PromptBatch(self.ids[rows, first:], mask[:, first:])


@dataclass(frozen=True)
class SequenceBatch:
    """Prompts, int64 `[B, P]`, and responses, int64 `[B, T]`; the response mask includes EOS."""

    prompt_ids: Tensor
    prompt_mask: Tensor
    response_ids: Tensor
    response_mask: Tensor

    @staticmethod
    def pad(pairs: Sequence[tuple[Sequence[int], Sequence[int]]], pad_id: int) -> "SequenceBatch":
        prompts, responses = zip(*pairs, strict=True)
        return SequenceBatch(*pad_left(prompts, pad_id), *pad_right(responses, pad_id))

    def to(self, device: torch.device) -> "SequenceBatch":
        return SequenceBatch(
            self.prompt_ids.to(device),
            self.prompt_mask.to(device),
            self.response_ids.to(device),
            self.response_mask.to(device),
        )

    def __len__(self) -> int:
        return len(self.prompt_ids)

    def with_prompts(self, prompts: PromptBatch | None) -> "SequenceBatch":
        """The same responses after other prompts; unchanged for None."""
        if prompts is None:
            return self
        return replace(self, prompt_ids=prompts.ids, prompt_mask=prompts.mask)

    @property
    def tokens(self) -> int:
        """Number of response tokens, including EOS."""
        return int(self.response_mask.sum())

    def select(self, rows: Tensor) -> "SequenceBatch":
        """Some rows, cut to their longest prompt and response."""
        prompts = PromptBatch(self.prompt_ids, self.prompt_mask).select(rows)
        response_mask = self.response_mask[rows]
        length = int(response_mask.sum(-1).max())
        return SequenceBatch(
            prompts.ids, prompts.mask, self.response_ids[rows, :length], response_mask[:, :length]
        )
