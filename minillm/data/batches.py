"""Tensors of a batch: prompts padded on the left, responses padded on the right, and their masks.

A mask is 1 on real tokens and 0 on padding. Only the mask identifies padding: the pad token and EOS
may have the same id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from minillm.devices import to_device


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

    @cached_property
    def lengths(self) -> Tensor:
        """Number of tokens per prompt `[B]`, in host memory; see `SequenceBatch`."""
        return _lengths(self.mask)

    def to(self, device: torch.device) -> "PromptBatch":
        moved = PromptBatch(to_device(self.ids, device), to_device(self.mask, device))
        return _with_lengths(moved, lengths=self.lengths)

    def select(self, rows: Tensor) -> "PromptBatch":
        """Some rows, cut to their longest prompt. `rows` `[B']` is in host memory."""
        lengths, index = self.lengths[rows], to_device(rows, self.ids.device)
        first = self.ids.shape[1] - int(lengths.max())
        selected = PromptBatch(self.ids[index, first:], self.mask[index, first:])
        return _with_lengths(selected, lengths=lengths)


@dataclass(frozen=True)
class SequenceBatch:
    """Prompts, int64 `[B, P]`, and responses, int64 `[B, T]`; the response mask includes EOS.

    The lengths of the rows are also in host memory. They are computed from the masks when they are
    needed first, before the batch goes to a device, and then passed on to the batches that are made
    from it. So the host need not wait for a device to know the shapes of a batch.
    """

    prompt_ids: Tensor
    prompt_mask: Tensor
    response_ids: Tensor
    response_mask: Tensor

    @staticmethod
    def pad(pairs: Sequence[tuple[Sequence[int], Sequence[int]]], pad_id: int) -> "SequenceBatch":
        prompts, responses = zip(*pairs, strict=True)
        return SequenceBatch(*pad_left(prompts, pad_id), *pad_right(responses, pad_id))

    @staticmethod
    def of_responses(prompts: PromptBatch, ids: Tensor, lengths: Tensor) -> "SequenceBatch":
        """Prompts with responses of known lengths.

        Args:
            prompts: `[B, P]`.
            ids: right-padded responses `[B, T]`, on the device of the prompts.
            lengths: number of tokens per response `[B]`, in host memory.
        """
        mask = torch.arange(ids.shape[1]) < lengths[:, None]
        mask = to_device(mask, ids.device).long()
        batch = SequenceBatch(prompts.ids, prompts.mask, ids, mask)
        return _with_lengths(batch, prompt_lengths=prompts.lengths, response_lengths=lengths)

    @cached_property
    def prompt_lengths(self) -> Tensor:
        """Number of tokens per prompt `[B]`, in host memory."""
        return _lengths(self.prompt_mask)

    @cached_property
    def response_lengths(self) -> Tensor:
        """Number of tokens per response `[B]`, in host memory."""
        return _lengths(self.response_mask)

    @property
    def prompts(self) -> PromptBatch:
        batch = PromptBatch(self.prompt_ids, self.prompt_mask)
        return _with_lengths(batch, lengths=self.prompt_lengths)

    def to(self, device: torch.device) -> "SequenceBatch":
        ids = to_device(self.response_ids, device)
        return SequenceBatch.of_responses(self.prompts.to(device), ids, self.response_lengths)

    def __len__(self) -> int:
        return len(self.prompt_ids)

    def with_prompts(self, prompts: PromptBatch | None) -> "SequenceBatch":
        """The same responses after other prompts; unchanged for None."""
        if prompts is None:
            return self
        return SequenceBatch.of_responses(prompts, self.response_ids, self.response_lengths)

    @property
    def tokens(self) -> int:
        """Number of response tokens, including EOS."""
        return int(self.response_lengths.sum())

    def select(self, rows: Tensor) -> "SequenceBatch":
        """Some rows, cut to their longest prompt and response. `rows` `[B']` is in host memory."""
        lengths, index = self.response_lengths[rows], to_device(rows, self.response_ids.device)
        ids = self.response_ids[index, : int(lengths.max())]
        return SequenceBatch.of_responses(self.prompts.select(rows), ids, lengths)


Batch = TypeVar("Batch", PromptBatch, SequenceBatch)


def _lengths(mask: Tensor) -> Tensor:
    """The lengths of the rows of a mask, in host memory. The host waits for the mask's device."""
    return mask.sum(-1).cpu()


def _with_lengths(batch: Batch, **lengths: Tensor) -> Batch:
    """The batch with known values of its cached properties."""
    vars(batch).update(lengths)
    return batch
