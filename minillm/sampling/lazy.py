"""Readers that run a model on growing responses only when its predictions are needed.

`Responses` is the table of the drawn tokens. A `LazyReader` runs its model only when its
log-probabilities are needed. One cached forward pass then reads all tokens since the last pass, so
that each token is read once. The reader stores the log-probabilities of all tokens.

The tokens and everything computed from them are on the device. Which rows are decoded, their
lengths and what each model has read are in host memory: the sampler copies the flags of the ended
rows to the host once per step, and the host derives the rest. So no code here waits for the device.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from minillm.data.batches import PromptBatch
from minillm.devices import to_device
from minillm.models.heads import output_head
from minillm.models.language_model import LanguageModel
from minillm.models.reader import CachedReader, Reader
from minillm.objectives.chunked import default_chunk_size

SMALLEST_GROUP = 16  # rows per pass over prompts; passes over fewer rows leave a device idle

Index = tuple[Tensor, Tensor]  # rows and positions in a table `[N, T]`, `[n]` each, on the device


class Responses:
    """N growing responses; at each step, the B rows of the batch are decoded.

    All attributes but `prompts` and `ids` are in host memory.

    Attributes:
        prompts: left-padded, `[N, P]`.
        max_length: maximum number of tokens per response, T.
        batch_size: maximum number of rows that are decoded together.
        ids: drawn tokens, `[N, T + 1]`; columns past a row's length have no meaning, and the last
            column never has one.
        lengths: number of drawn tokens per row, `[N]`.
        ended: whether each row has ended, by EOS or by reaching T tokens, bool `[N]`.
        rows: indices of the rows of the batch, `[B]`; never changed in place, but replaced by
            another tensor when rows leave or join.
        queue: indices of the rows that have not started, long prompts first.
        steps: number of decoding steps so far.
    """

    def __init__(self, prompts: PromptBatch, max_length: int, batch_size: int) -> None:
        count = len(prompts.ids)
        self.prompts = prompts
        self.max_length = max_length
        self.batch_size = batch_size
        self.ids = prompts.ids.new_zeros(count, max_length + 1)
        self.lengths = torch.zeros(count, dtype=torch.long)
        self.ended = torch.zeros(count, dtype=torch.bool)
        self.rows = self.lengths[:0]
        self.queue = prompts.lengths.argsort(descending=True, stable=True)
        self.steps = 0

    def start(self) -> None:
        """Fill the batch with rows from the queue."""
        free = self.batch_size - len(self.rows)
        self.rows = torch.cat([self.rows, self.queue[:free]])
        self.queue = self.queue[free:]

    def next_index(self) -> Index:
        """The places in `ids` of the next tokens of the batch; without meaning for ended rows."""
        return self.on_device(self.rows, self.lengths[self.rows])

    def append(self, is_end: Tensor) -> Tensor:
        """Count a new token for the rows of the batch that have not ended.

        Args:
            is_end: whether the new tokens end their responses, bool `[B]`.

        Returns:
            Whether each row has ended, bool `[B]`.
        """
        lengths, ended = self.lengths[self.rows], self.ended[self.rows]
        lengths = lengths + ~ended
        ended = ended | is_end | (lengths == self.max_length)
        self.lengths[self.rows], self.ended[self.rows] = lengths, ended
        self.steps += 1
        return ended

    def most_columns(self, prompt_columns: int) -> int:
        """Upper bound on the columns of a cache: prompt, response, and steps after its end."""
        return prompt_columns + 2 * self.max_length

    def readable_lengths(self, rows: Tensor) -> Tensor:
        """Number of tokens `[B]` of `rows` that models must read.

        The last token of a response that has ended predicts nothing and is not read.
        """
        return self.lengths[rows] - self.ended[rows].long()

    def on_device(self, *indices: Tensor) -> tuple[Tensor, ...]:
        """Indices of equal shape, in one copy to the device of `ids`."""
        return to_device(torch.stack(indices), self.ids.device).unbind()


class LazyReader:
    """Reads the responses with one model.

    Args:
        model: the model.
        responses: the table to read.
        warp: maps log-probabilities `[..., V]` of the model to those of the distribution that
            tokens are drawn from; None if the two are equal.
        keeps_hidden: whether last hidden states are stored.
        scores_tokens: whether log-probabilities of drawn tokens are computed and stored. If not,
            the tables of log-probabilities are 0.

    Attributes:
        prompts: the prompts that the model reads, `[N, P]`; by default those of the responses.
        log_probs: log-probabilities of the tokens at temperature 1, `[N, T + 1]`.
        drawn: log-probabilities of the tokens after `warp`, `[N, T + 1]`.
        hidden: last hidden states that predict the tokens, `[N, T, d]`, and 0 past the length of a
            row; None if they are not stored, and before the first forward pass.
        calls: number of forward passes.
        prompt_calls: number of forward passes that read prompts.
    """

    def __init__(
        self,
        model: LanguageModel,
        responses: Responses,
        *,
        prompts: PromptBatch | None = None,
        warp: Callable[[Tensor], Tensor] | None = None,
        keeps_hidden: bool = False,
        scores_tokens: bool = True,
    ) -> None:
        self.model = model
        self.responses = responses
        self.prompts = prompts or responses.prompts
        self.reader: Reader | None = None  # None while no rows are cached
        self.head = output_head(model).ready()
        self.warp = warp
        self.cached_rows = responses.rows  # indices of the rows in the cache, [B]
        self.read_lengths = responses.rows  # number of response tokens read per cached row, [B]
        self.read_step = 0
        self.never_read = torch.ones_like(responses.ended)  # neither prompt nor response, [N]
        dtype = torch.promote_types(model.module.dtype, torch.float32)
        self.log_probs = torch.zeros_like(responses.ids, dtype=dtype)
        self.drawn = torch.zeros_like(self.log_probs) if warp else self.log_probs
        self.keeps_hidden = keeps_hidden
        self.scores_tokens = scores_tokens
        self.hidden: Tensor | None = None
        self.calls = self.prompt_calls = 0

    def next(self) -> Tensor:
        """Read all unread tokens; log-probabilities `[B, V]` to draw the next tokens from."""
        batch_rows = self.responses.rows
        if self.cached_rows is batch_rows:
            # Rows that have not ended have one unread token per step since the last call; ended
            # rows have fewer. With one step, the pass predicts only tokens that are not drawn yet.
            hidden = self._read_unread(self.responses.steps - self.read_step)
        else:
            hidden = self._read_and_join(batch_rows)
        self.read_step = self.responses.steps
        self.last_prediction = self._predict(hidden)
        return self.last_prediction[1]

    def record(self, index: Index, tokens: Tensor) -> None:
        """Store the log-probabilities of the `tokens` `[B]` that were drawn right after `next`."""
        if self.scores_tokens:
            self._record(*self.last_prediction, index, tokens)

    def finish(self) -> None:
        """Read all unread tokens after all rows have ended: cached rows first, then new rows."""
        self._drop(self.cached_rows[:0])
        if len(self.cached_rows):
            self._read_unread(self._max_unread())
        new_rows = self.never_read.nonzero()[:, 0]
        lengths = self.prompts.lengths[new_rows] + self.responses.lengths[new_rows]
        new_rows = new_rows[lengths.argsort(descending=True, stable=True)]
        for batch in new_rows.split(self.responses.batch_size) if len(new_rows) else ():
            for rows in self._groups(batch):
                self._read_prompts(rows)

    def hidden_of(self, length: int) -> Tensor:
        """The hidden states `[N, length, d]` of all tokens; `length` is that of the longest row."""
        if length == self.hidden.shape[1]:
            return self.hidden
        return self.hidden[:, :length].clone()  # a view would keep the columns that no row has

    def _read_and_join(self, batch_rows: Tensor) -> Tensor:
        """Read all unread tokens after rows have left the batch or joined it.

        Drops the rows that left, reads the unread tokens of the other rows, and reads the prompts
        of the rows that joined. Returns the last hidden states `[B, d]` of `batch_rows`.
        """
        self._drop(batch_rows)
        last_hidden = []
        if len(self.cached_rows):
            in_batch = torch.isin(self.cached_rows, batch_rows).nonzero()[:, 0]
            hidden = self._read_unread(max(self._max_unread(), 1))
            last_hidden.append(hidden.index_select(0, to_device(in_batch, hidden.device)))
        new_rows = batch_rows[self.never_read[batch_rows]]
        if len(new_rows):
            # The same passes read rows that have ended without being read, if the batch has room.
            is_unread = self.never_read & self.responses.ended
            is_unread[new_rows] = False
            ended_rows = is_unread.nonzero()[: self.responses.batch_size - len(new_rows), 0]
            readers = [self.reader] if len(self.cached_rows) else []
            for rows in self._groups(torch.cat([new_rows, ended_rows])):
                reader, hidden = self._read_prompts(rows)
                kept = torch.isin(rows, new_rows).nonzero()[:, 0]  # these are the first rows
                if len(kept):
                    last_hidden.append(hidden[: len(kept)])
                    readers.append(reader)
                if 0 < len(kept) < len(rows):
                    reader.keep(kept)
            self.reader, *others = readers
            self.reader.join(others)
            self.cached_rows = torch.cat([self.cached_rows, new_rows])
            new_lengths = self.responses.readable_lengths(new_rows)
            self.read_lengths = torch.cat([self.read_lengths, new_lengths])
        if len(self.cached_rows) == len(batch_rows):
            self.cached_rows = batch_rows  # `next` compares the two by identity
        return torch.cat(last_hidden)

    def _drop(self, batch_rows: Tensor) -> None:
        """Drop cached rows that are not in `batch_rows` and have no unread tokens."""
        has_unread = self.responses.readable_lengths(self.cached_rows) > self.read_lengths
        keep = torch.isin(self.cached_rows, batch_rows) | has_unread
        if not keep.all():
            kept = keep.nonzero()[:, 0]
            self.cached_rows, self.read_lengths = self.cached_rows[kept], self.read_lengths[kept]
            if len(kept):
                self.reader.keep(kept)

    def _max_unread(self) -> int:
        lengths = self.responses.readable_lengths(self.cached_rows)
        return int((lengths - self.read_lengths).max())

    def _read_unread(self, columns: int) -> Tensor:
        """Read up to `columns` unread tokens of each cached row.

        Returns the hidden states `[B, d]` of the last column.
        """
        rows = self.cached_rows[:, None].expand(-1, columns)
        positions = self.read_lengths[:, None] + torch.arange(columns)
        self.read_lengths = self.responses.readable_lengths(self.cached_rows)
        mask = positions < self.read_lengths[:, None]
        index = self.responses.on_device(rows, positions.clamp(max=self.responses.max_length))
        hidden = self.reader.read(self.responses.ids[index], mask)
        self.calls += 1
        self._store(hidden, rows, positions + 1, mask)
        return hidden[:, -1]

    def _groups(self, rows: Tensor) -> list[Tensor]:
        """Consecutive parts of `rows` that are read together.

        A pass pads all its rows to the longest one. So a new part begins at a row that is less than
        half as long as the first row of the part before, if that part has `SMALLEST_GROUP` rows.
        """
        lengths = self.prompts.lengths[rows] + self.responses.readable_lengths(rows)
        sizes, first = [], 0
        for length in lengths.tolist():
            if not sizes or (sizes[-1] >= SMALLEST_GROUP and 2 * length < first):
                sizes, first = [*sizes, 0], length
            sizes[-1] += 1
        return list(rows.split(sizes))

    def _read_prompts(self, rows: Tensor) -> tuple[Reader, Tensor]:
        """Read prompts and their responses so far, padded on the left, into a new cache.

        Returns the reader with the new cache, and the hidden states `[B, d]` of the last column.
        """
        prompts, counts = self.prompts, self.responses.readable_lengths(rows)
        lengths = prompts.lengths[rows] + counts
        width, prompt_width = int(lengths.max()), prompts.ids.shape[1]
        # The response position of each column; positions of prompt tokens are below 0.
        positions = torch.arange(-width, 0) + counts[:, None]
        mask = positions >= (counts - lengths)[:, None]
        on_device, columns = self.responses.on_device(
            rows[:, None].expand_as(positions), (positions + prompt_width).clamp(min=0)
        )
        on_device = on_device[:, 0]
        sequences = torch.cat([prompts.ids[on_device], self.responses.ids[on_device]], dim=1)
        reader = CachedReader(self.model)
        hidden = reader.read(sequences.gather(1, columns), mask)
        self.calls += 1
        self.prompt_calls += 1
        self.never_read[rows] = False
        self._store(hidden, rows[:, None].expand_as(positions), positions + 1, mask)
        return reader, hidden[:, -1]

    def _store(self, hidden: Tensor, rows: Tensor, positions: Tensor, mask: Tensor) -> None:
        """Store hidden states, and the log-probabilities of the drawn tokens that they predict.

        `record` stores the log-probabilities of tokens that are not drawn yet.

        Args:
            hidden: last hidden states of a forward pass, `[B, S, d]`.
            rows: the row of each hidden state, `[B, S]`.
            positions: the position of the token that each hidden state predicts, `[B, S]`; below 0
                for tokens of a prompt.
            mask: whether each hidden state is of a real token, bool `[B, S]`.
        """
        is_predicted = mask & (positions >= 0)
        hidden = hidden.flatten(0, 1)
        if self.keeps_hidden:
            if self.hidden is None:
                count = len(self.responses.ids), self.responses.max_length
                self.hidden = hidden.new_zeros(*count, hidden.shape[-1])
            cells, index = self._cells(is_predicted, rows, positions)
            self.hidden[index] = hidden.index_select(0, cells)
        is_drawn = is_predicted & (positions < self.responses.lengths[rows])
        if not (self.scores_tokens and is_drawn.any()):
            return
        cells, index = self._cells(is_drawn, rows, positions)
        size = default_chunk_size(hidden.device, self.model.vocab_size)
        for chunk, *place in zip(*(x.split(size) for x in (cells, *index)), strict=True):
            prediction = self._predict(hidden.index_select(0, chunk))
            self._record(*prediction, tuple(place), self.responses.ids[tuple(place)])

    def _cells(self, chosen: Tensor, rows: Tensor, positions: Tensor) -> tuple[Tensor, Index]:
        """The chosen cells of a forward pass, on the device.

        Args:
            chosen: bool `[B, S]` with n true values.
            rows: `[B, S]`.
            positions: `[B, S]`.

        Returns:
            The indices `[n]` of the cells in `[B * S]`, and of their rows and positions.
        """
        cells = chosen.flatten().nonzero()[:, 0]
        cells, *index = self.responses.on_device(cells, rows[chosen], positions[chosen])
        return cells, tuple(index)

    def _predict(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities `[N, V]`, at least float32, from hidden states `[N, d]`.

        Returns those of the model, and those after `warp`.
        """
        log_probs = self.head.logits(hidden).log_softmax(-1)
        return log_probs, self.warp(log_probs) if self.warp else log_probs

    def _record(self, log_probs: Tensor, warped: Tensor, index: Index, ids: Tensor) -> None:
        """Store the log-probabilities of the tokens `ids` `[n]` at `index` in the tables."""
        self.log_probs[index] = log_probs.gather(-1, ids[:, None])[:, 0]
        if self.warp:
            self.drawn[index] = warped.gather(-1, ids[:, None])[:, 0]
