"""Reads growing sequences piece by piece with a key-value cache, each token once."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from minillm.compat.masks import padding_known
from minillm.devices import to_device
from minillm.models.cache import growing_cache, join, keep_rows
from minillm.models.language_model import LanguageModel
from minillm.models.parts import model_body, takes, takes_positions


class Reader(Protocol):
    """Reads a batch of growing sequences. There is no padding between the tokens of a row.

    The sampler knows all lengths and masks in host memory, and calls a reader with such masks. So a
    reader decides everything about shapes on the host, and never waits for the device.

    `CachedReader` runs the model's forward pass as it is. A reader with a static cache and a
    captured decoding step (CUDA graph) can take its place. It would have to

    -   allocate, at the first `read` of many columns, the keys and values of `batch_size` rows and
        of all columns that a batch can need (`Responses.most_columns`), and never replace these
        tensors, because the graph refers to their memory;
    -   capture the pass over one token per row. `read` of one column copies ids, mask and positions
        into the graph's inputs, and replays it. The column that is written must be such an input
        too, and attention must cover all columns, with free columns masked;
    -   run passes over several tokens (prompts, and the unread tokens of a teacher) without a
        graph, on the same tensors;
    -   keep the number of rows: `keep` moves rows within the tensors and masks the free rows, and
        `join` copies the columns of other readers into free rows. `keep` may leave unused columns
        in place, and move all columns to the left only when no column is free;
    -   return hidden states that are valid until the next `read`: the sampler copies them.
    """

    def read(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Read the next tokens of each row; return their last hidden states `[B, S, d]`.

        Args:
            ids: `[B, S]`. The hidden states are on the same device, also if the model is not.
            mask: bool `[B, S]`, in host memory. The first call may have padding on the left; later,
                only rows that get no more tokens may have padding, on the right.
        """
        ...

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but those with the indices `rows` `[B']`, which are in host memory."""
        ...

    def join(self, others: Sequence["Reader"]) -> None:
        """Append the rows of other readers of the same model, which are not used any more."""
        ...


class CachedReader:
    """A `Reader` with a cache that grows.

    Attributes:
        mask: bool `[B, L]` of all columns that were read, in host memory.
        lengths: number of tokens read per row, `[B]`, in host memory.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.body = model_body(model.module)
        self.cache = growing_cache(model.module.config)
        self.takes_positions = takes_positions(self.body)
        # transformers 5.24 renamed the argument.
        self.cache_argument = "cache" if takes(self.body, "cache") else "past_key_values"
        self.mask: Tensor | None = None
        self.lengths: Tensor | None = None

    def read(self, ids: Tensor, mask: Tensor) -> Tensor:
        if self.mask is None:
            self.mask, self.lengths = mask[:, :0], mask.new_zeros(len(mask), dtype=torch.long)
        counts, device = mask.cumsum(-1), self.model.device
        positions = (self.lengths[:, None] + counts - 1).clamp(min=0)
        self.mask = torch.cat([self.mask, mask], dim=1)
        self.lengths = self.lengths + counts[:, -1]
        arguments = {self.cache_argument: self.cache}
        if self.takes_positions:
            arguments["position_ids"] = to_device(positions, device)
        with self.model.precision(), padding_known(not self.mask.all()):
            output = self.body(
                input_ids=ids.to(device),
                attention_mask=to_device(self.mask, device).long(),
                use_cache=True,
                **arguments,
            )
        return to_device(output.last_hidden_state, ids.device)

    def keep(self, rows: Tensor) -> None:
        """Leading columns that no kept row uses are dropped too."""
        mask = self.mask[rows]
        first_column = int(mask.any(0).int().argmax())
        self.mask, self.lengths = mask[:, first_column:], self.lengths[rows]
        keep_rows(self.cache, to_device(rows, self.model.device), first_column)

    def join(self, others: Sequence["CachedReader"]) -> None:
        readers = [self, *others]
        width = max(reader.mask.shape[1] for reader in readers)
        masks = [functional.pad(x.mask, (width - x.mask.shape[1], 0)) for x in readers]
        self.mask = torch.cat(masks)
        self.lengths = torch.cat([reader.lengths for reader in readers])
        if others:
            join(self.cache, [other.cache for other in others])
