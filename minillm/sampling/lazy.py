"""Readers that run a model on growing responses only when its predictions are needed.

`Responses` is the table of the drawn tokens. A `LazyReader` runs its model only when its
log-probabilities are needed. One cached forward pass then reads all tokens since the last pass, so
that each token is read once. The reader stores the log-probabilities of all tokens.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from minillm.data.batches import PromptBatch
from minillm.models.forward import CachedReader
from minillm.models.heads import output_head
from minillm.models.language_model import LanguageModel
from minillm.objectives.chunked import default_chunk_size


class Responses:
    """N growing responses; at each step, the B rows of the batch are decoded.

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
        self.lengths = prompts.ids.new_zeros(count)
        self.ended = torch.zeros_like(self.lengths, dtype=torch.bool)
        self.rows = self.lengths[:0]
        self.queue = prompts.mask.sum(-1).argsort(descending=True, stable=True)
        self.steps = 0

    def start(self) -> None:
        """Fill the batch with rows from the queue."""
        free = self.batch_size - len(self.rows)
        self.rows = torch.cat([self.rows, self.queue[:free]])
        self.queue = self.queue[free:]

    def append(self, tokens: Tensor, is_end: Tensor) -> Tensor:
        """Append the tokens `[B]` to the rows of the batch that have not ended.

        Returns whether each row has ended, bool `[B]`.
        """
        lengths, ended = self.lengths[self.rows], self.ended[self.rows]
        self.ids[self.rows, lengths] = tokens
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
        hidden: (rows `[B]`, positions `[B, S]`, last hidden states `[B, S, d]`) of each forward
            pass, if stored. A hidden state predicts the token at its position.
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
        self.responses = responses
        self.prompts = prompts or responses.prompts
        self.reader = CachedReader(model)
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
        self.hidden: list[tuple[Tensor, Tensor, Tensor]] = []
        self.calls = self.prompt_calls = 0

    def next(self) -> Tensor:
        """Read all unread tokens; log-probabilities `[B, V]` to draw the next tokens from."""
        batch_rows = self.responses.rows
        if self.cached_rows is batch_rows:
            # Rows that have not ended have one unread token per step since the last call; ended
            # rows have fewer. With one step, the pass predicts only tokens that are not drawn yet.
            unread = self.responses.steps - self.read_step
            hidden = self._read_unread(unread, predicts_drawn_tokens=unread > 1)
        else:
            hidden = self._read_and_join(batch_rows)
        self.read_step = self.responses.steps
        self.last_prediction = self._predict(hidden)
        return self.last_prediction[1]

    def record(self, tokens: Tensor) -> None:
        """Store the log-probabilities of the `tokens` `[B]` that were drawn right after `next`."""
        if not self.scores_tokens:
            return
        index = self.responses.rows, self.responses.lengths[self.responses.rows]
        self._record(*self.last_prediction, index, tokens)

    def finish(self) -> None:
        """Read all unread tokens after all rows have ended: cached rows first, then new rows."""
        self._drop(self.cached_rows[:0])
        if len(self.cached_rows):
            self._read_unread(self._max_unread())
        new_rows = self.never_read.nonzero()[:, 0]
        lengths = self.prompts.mask[new_rows].sum(-1) + self.responses.lengths[new_rows]
        new_rows = new_rows[lengths.argsort(descending=True, stable=True)]
        for rows in new_rows.split(self.responses.batch_size) if len(new_rows) else ():
            self._read_prompts(rows)

    def all_hidden(self, length: int) -> Tensor:
        """The hidden states `[N, length, d]` of all tokens, 0 past a row's length."""
        _, _, first_hidden = self.hidden[0]
        all_states = first_hidden.new_zeros(len(self.never_read), length, first_hidden.shape[-1])
        for rows, positions, hidden in self.hidden:
            index, is_drawn = self._drawn_tokens(rows, positions)
            all_states[index] = hidden[is_drawn]
        return all_states

    def _read_and_join(self, batch_rows: Tensor) -> Tensor:
        """Read all unread tokens after rows have left the batch or joined it.

        Drops the rows that left, reads the unread tokens of the other rows, and reads the prompts
        of the rows that joined. Returns the last hidden states `[B, d]` of `batch_rows`.
        """
        self._drop(batch_rows)
        last_hidden = []
        if len(self.cached_rows):
            in_batch = torch.isin(self.cached_rows, batch_rows)
            last_hidden.append(self._read_unread(max(self._max_unread(), 1))[in_batch])
        new_rows = batch_rows[self.never_read[batch_rows]]
        if len(new_rows):
            # The same pass reads rows that have ended without being read, if the batch has room.
            is_unread = self.never_read & self.responses.ended
            is_unread[new_rows] = False
            ended_rows = is_unread.nonzero()[: self.responses.batch_size - len(new_rows), 0]
            reader, hidden = self._read_prompts(torch.cat([new_rows, ended_rows]))
            last_hidden.append(hidden[: len(new_rows)])
            if len(ended_rows):
                reader.keep(torch.arange(len(new_rows), device=new_rows.device))
            if len(self.cached_rows):
                self.reader.join(reader)
            else:
                self.reader = reader
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

    def _read_unread(self, columns: int, predicts_drawn_tokens: bool = True) -> Tensor:
        """Read up to `columns` unread tokens of each cached row.

        Returns the hidden states `[B, d]` of the last column.
        """
        rows = self.cached_rows
        positions = self.read_lengths[:, None] + torch.arange(columns, device=rows.device)
        ids = self.responses.ids[rows[:, None], positions.clamp(max=self.responses.max_length)]
        self.read_lengths = self.responses.readable_lengths(rows)
        mask = positions < self.read_lengths[:, None]
        hidden = self.reader.read(ids, mask.long())
        self.calls += 1
        self._store(hidden, rows, positions + 1, predicts_drawn_tokens)
        return hidden[:, -1]

    def _read_prompts(self, rows: Tensor) -> tuple[CachedReader, Tensor]:
        """Read prompts and their responses so far, padded on the left, into a new cache.

        Returns the reader with the new cache, and the hidden states `[B, d]` of the last column.
        """
        prompts, counts = self.prompts, self.responses.readable_lengths(rows)
        lengths = prompts.mask[rows].sum(-1) + counts
        width, prompt_width = int(lengths.max()), prompts.ids.shape[1]
        # The response position of each column; positions of prompt tokens are below 0.
        positions = torch.arange(-width, 0, device=rows.device) + counts[:, None]
        mask = positions >= (counts - lengths)[:, None]
        sequences = torch.cat([prompts.ids[rows], self.responses.ids[rows]], dim=1)
        ids = sequences.gather(1, (positions + prompt_width).clamp(min=0))
        reader = CachedReader(self.reader.model)
        hidden = reader.read(ids, mask.long())
        self.calls += 1
        self.prompt_calls += 1
        self.never_read[rows] = False
        stored = min(width, int(counts.max()) + 1)
        # A copy, because a stored view would keep the states of the whole prompts.
        self._store(hidden[:, -stored:].clone(), rows, positions[:, -stored:] + 1)
        return reader, hidden[:, -1]

    def _store(
        self, hidden: Tensor, rows: Tensor, positions: Tensor, predicts_drawn_tokens: bool = True
    ) -> None:
        """Store hidden states `[B, S, d]`, and the log-probabilities of the predicted tokens.

        `record` stores the log-probabilities of tokens that are not drawn yet.
        """
        if self.keeps_hidden:
            self.hidden.append((rows, positions, hidden))
        if not (predicts_drawn_tokens and self.scores_tokens):
            return
        index, is_drawn = self._drawn_tokens(rows, positions)
        size = default_chunk_size(hidden.device, self.reader.model.vocab_size)
        chunks = zip(hidden[is_drawn].split(size), *(x.split(size) for x in index), strict=True)
        for states, *chunk_index in chunks:
            chunk_index = tuple(chunk_index)
            self._record(*self._predict(states), chunk_index, self.responses.ids[chunk_index])

    def _drawn_tokens(
        self, rows: Tensor, positions: Tensor
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Selects the `positions` `[B, S]` of `rows` `[B]` whose tokens are drawn.

        Returns their index into the table (one tensor per axis), and a mask `[B, S]`.
        """
        is_drawn = (positions >= 0) & (positions < self.responses.lengths[rows, None])
        return (rows[:, None].expand_as(positions)[is_drawn], positions[is_drawn]), is_drawn

    def _predict(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities `[N, V]`, at least float32, from hidden states `[N, d]`.

        Returns those of the model, and those after `warp`.
        """
        log_probs = self.head.logits(hidden).log_softmax(-1)
        return log_probs, self.warp(log_probs) if self.warp else log_probs

    def _record(
        self, log_probs: Tensor, warped: Tensor, index: tuple[Tensor, Tensor], ids: Tensor
    ) -> None:
        """Store the log-probabilities of the tokens `ids` `[N]` at `index` in the tables."""
        self.log_probs[index] = log_probs.gather(-1, ids[:, None])[:, 0]
        if self.warp:
            self.drawn[index] = warped.gather(-1, ids[:, None])[:, 0]
