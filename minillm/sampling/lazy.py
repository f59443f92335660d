"""Models that read growing responses only when asked, and then each token once.

`Responses` is the table of what has been drawn; a `LazyReader` catches up with it when its model's
opinion is needed, in one cached pass over all that it has not read, and keeps what it thought.
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
    """N responses as they grow, of which the rows `[B]` are decoded now.

    Attributes:
        prompts: left-padded, `[N, P]`.
        max_length: the limit T.
        batch_size: rows decoded at once, at most.
        ids: `[N, T + 1]`; what is past a row's length, the last column always, is scratch.
        lengths: `[N]` tokens drawn.
        ended: bool `[N]`, by EOS or by the limit T.
        rows: those decoded now, `[B]`; replaced, never changed in place, when rows leave or join.
        queue: those not started, long prompts first.
        steps: decoding steps made.
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
        """Fill the batch with rows of the queue."""
        free = self.batch_size - len(self.rows)
        self.rows = torch.cat([self.rows, self.queue[:free]])
        self.queue = self.queue[free:]

    def append(self, tokens: Tensor, is_end: Tensor) -> Tensor:
        """Add a token `[B]` to each row that has not ended; which rows `[B]` have ended now."""
        lengths, ended = self.lengths[self.rows], self.ended[self.rows]
        self.ids[self.rows, lengths] = tokens
        lengths = lengths + ~ended
        ended = ended | is_end | (lengths == self.max_length)
        self.lengths[self.rows], self.ended[self.rows] = lengths, ended
        self.steps += 1
        return ended

    def most_columns(self, prompt_columns: int) -> int:
        """A bound on the columns of a cache: a row's own, and steps of others once it has ended."""
        return prompt_columns + 2 * self.max_length

    def to_read(self, rows: Tensor) -> Tensor:
        """How many of their tokens need reading: nothing is predicted from the last of an end."""
        return self.lengths[rows] - self.ended[rows].long()


class LazyReader:
    """One model's view of the responses.

    Attributes:
        prompts: the model's prompts `[N, P]`; by default those of the responses.
        log_probs: `[N, T + 1]` of the tokens, at temperature 1.
        drawn: the same of the distribution that the model's tokens are drawn from.
        hidden: (rows `[B]`, positions `[B, S]`, last hidden states `[B, S, d]`) of each pass, where
            they are kept: the states that predict the tokens at these positions.
        calls: forward passes made.
        prompt_calls: those of them that read prompts.
    """

    def __init__(
        self,
        model: LanguageModel,
        responses: Responses,
        *,
        prompts: PromptBatch | None = None,
        warp: Callable[[Tensor], Tensor] | None = None,
        keeps_hidden: bool = False,
    ) -> None:
        self.responses = responses
        self.prompts = prompts or responses.prompts
        self.reader = CachedReader(model)
        self.warp = warp
        self.rows = responses.rows  # in the cache, [B]
        self.read = responses.rows  # how many of their tokens, [B]
        self.read_step = 0
        self.never_read = torch.ones_like(responses.ended)  # not even the prompt, [N]
        dtype = torch.promote_types(model.module.dtype, torch.float32)
        self.log_probs = torch.zeros_like(responses.ids, dtype=dtype)
        self.drawn = torch.zeros_like(self.log_probs) if warp else self.log_probs
        self.keeps_hidden = keeps_hidden
        self.hidden: list[tuple[Tensor, Tensor, Tensor]] = []
        self.calls = self.prompt_calls = 0

    def next(self) -> Tensor:
        """Read on to the present: log-probabilities `[B, V]` to draw the next tokens from."""
        now = self.responses.rows
        if self.rows is now:
            # Rows that have not ended lack as many tokens as steps were made, the others fewer; so
            # where it is one, what is predicted is not drawn yet for any.
            behind = self.responses.steps - self.read_step
            hidden = self._read_on(behind, scores=behind > 1)
        else:
            hidden = self._read_on_and_join(now)
        self.read_step = self.responses.steps
        self.last = self._predict(hidden)
        return self.last[1]

    def record(self, tokens: Tensor) -> None:
        """Keep what is thought of the `tokens` `[B]` that were drawn right after `next`."""
        where = self.responses.rows, self.responses.lengths[self.responses.rows]
        self._record(*self.last, where, tokens)

    def finish(self) -> None:
        """Once all rows have ended, read what is left: the cached rows, then those never read."""
        self._drop(self.rows[:0])
        if len(self.rows):
            self._read_on(self._most_unread())
        never = self.never_read.nonzero()[:, 0]
        lengths = self.prompts.mask[never].sum(-1) + self.responses.lengths[never]
        order = never[lengths.argsort(descending=True, stable=True)]
        for rows in order.split(self.responses.batch_size) if len(order) else ():
            self._read_prompts(rows)

    def all_hidden(self, length: int) -> Tensor:
        """The hidden states `[N, length, d]` of all tokens, 0 past a row's length."""
        _, _, first = self.hidden[0]
        states = first.new_zeros(len(self.never_read), length, first.shape[-1])
        for rows, positions, hidden in self.hidden:
            where, drawn = self._drawn(rows, positions)
            states[where] = hidden[drawn]
        return states

    def _read_on_and_join(self, now: Tensor) -> Tensor:
        """As rows have left or joined: drop the former, read on, read the prompts of the latter.

        Returns the last hidden states `[B, d]` of `now`.
        """
        self._drop(now)
        last = []
        if len(self.rows):
            stays = torch.isin(self.rows, now)
            last.append(self._read_on(max(self._most_unread(), 1))[stays])
        new = now[self.never_read[now]]
        if len(new):
            # Rows that have ended unread go along, where there is room for them.
            ended = self.never_read & self.responses.ended
            ended[new] = False
            ended = ended.nonzero()[: self.responses.batch_size - len(new), 0]
            reader, hidden = self._read_prompts(torch.cat([new, ended]))
            last.append(hidden[: len(new)])
            if len(ended):
                reader.keep(torch.arange(len(new), device=new.device))
            if len(self.rows):
                self.reader.join(reader)
            else:
                self.reader = reader
            self.rows = torch.cat([self.rows, new])
            self.read = torch.cat([self.read, self.responses.to_read(new)])
        if len(self.rows) == len(now):
            self.rows = now  # what `next` knows them by
        return torch.cat(last)

    def _drop(self, now: Tensor) -> None:
        """Drop the rows that are not in `now`, but for those with tokens to read."""
        keep = torch.isin(self.rows, now) | (self.responses.to_read(self.rows) > self.read)
        if not keep.all():
            rows = keep.nonzero()[:, 0]
            self.rows, self.read = self.rows[rows], self.read[rows]
            if len(rows):
                self.reader.keep(rows)

    def _most_unread(self) -> int:
        return int((self.responses.to_read(self.rows) - self.read).max())

    def _read_on(self, behind: int, scores: bool = True) -> Tensor:
        """Read the next `behind` tokens of the cached rows, or as many as there are.

        Returns the hidden states `[B, d]` of the last column.
        """
        positions = self.read[:, None] + torch.arange(behind, device=self.rows.device)
        scratch = self.responses.max_length
        ids = self.responses.ids[self.rows[:, None], positions.clamp(max=scratch)]
        self.read = self.responses.to_read(self.rows)
        mask = positions < self.read[:, None]
        hidden = self.reader.read(ids, mask.long())
        self.calls += 1
        self._keep(hidden, self.rows, positions + 1, scores)
        return hidden[:, -1]

    def _read_prompts(self, rows: Tensor) -> tuple[CachedReader, Tensor]:
        """Read prompts with their responses so far, flush right, in a cache of their own."""
        prompts, counts = self.prompts, self.responses.to_read(rows)
        lengths = prompts.mask[rows].sum(-1) + counts
        width, start = int(lengths.max()), prompts.ids.shape[1]
        # Response positions of the columns, those of the prompt below 0; and where they come from.
        columns = torch.arange(-width, 0, device=rows.device) + counts[:, None]
        mask = columns >= (counts - lengths)[:, None]
        whole = torch.cat([prompts.ids[rows], self.responses.ids[rows]], dim=1)
        ids = whole.gather(1, (columns + start).clamp(min=0))
        reader = CachedReader(self.reader.model)
        hidden = reader.read(ids, mask.long())
        self.calls += 1
        self.prompt_calls += 1
        self.never_read[rows] = False
        keep = min(width, int(counts.max()) + 1)
        self._keep(hidden[:, -keep:], rows, columns[:, -keep:] + 1)
        return reader, hidden[:, -1]

    def _keep(self, hidden: Tensor, rows: Tensor, positions: Tensor, scores: bool = True) -> None:
        """Keep hidden states `[B, S, d]`, and what they say of the tokens that they predict.

        Those that are not drawn yet `record` keeps later.
        """
        if self.keeps_hidden:
            self.hidden.append((rows, positions, hidden))
        if not scores:
            return
        where, drawn = self._drawn(rows, positions)
        size = default_chunk_size(hidden.device, self.reader.model.vocab_size)
        parts = zip(hidden[drawn].split(size), *(x.split(size) for x in where), strict=True)
        for part, *place in parts:
            self._record(*self._predict(part), tuple(place), self.responses.ids[tuple(place)])

    def _drawn(self, rows: Tensor, positions: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Where in the table the `positions` `[B, S]` of `rows` `[B]` are that hold tokens.

        As indices, one tensor for each axis, and as a mask `[B, S]`.
        """
        drawn = (positions >= 0) & (positions < self.responses.lengths[rows, None])
        return (rows[:, None].expand_as(positions)[drawn], positions[drawn]), drawn

    def _predict(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities `[N, V]`, at least float32, of hidden states `[N, d]`.

        The model's own, and those of the distribution that is drawn from.
        """
        logits = output_head(self.reader.model).logits(hidden)
        log_probs = logits.to(self.log_probs.dtype).log_softmax(-1)
        return log_probs, self.warp(log_probs) if self.warp else log_probs

    def _record(
        self, log_probs: Tensor, drawn: Tensor, where: tuple[Tensor, Tensor], ids: Tensor
    ) -> None:
        """Keep the `log_probs` `[N, V]` of the tokens `ids` `[N]` at `where` in the table."""
        self.log_probs[where] = log_probs.gather(-1, ids[:, None])[:, 0]
        if self.warp:
            self.drawn[where] = drawn.gather(-1, ids[:, None])[:, 0]
