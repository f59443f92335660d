"""The bytes that one process needs to sample responses: caches, prompts, and drawn tokens."""

from dataclasses import dataclass

from minillm.models.cache import ROOM
from minillm.planning.passes import Passes, Reading

# Bytes per row and token of the vocabulary when a token is drawn: the log-probabilities of both
# models, the probabilities (float32), and their cumulative sum (float64).
DRAWING = 4 + 4 + 4 + 8
# The same for the scores of tokens that are drawn already: logits and log-probabilities.
SCORING = 4 + 4


@dataclass(frozen=True)
class Decoding:
    """The decoding of one process.

    Attributes:
        passes: counts the bytes of the passes.
        rows: number of responses.
        at_once: number of responses that are decoded together.
        prompt: tokens of the longest prompt.
        response: largest number of tokens of a response.
    """

    passes: Passes
    rows: int
    at_once: int
    prompt: int
    response: int

    @property
    def columns(self) -> int:
        """Columns of the cache, at most. Rows that join later need further columns."""
        return self.prompt + self.response * (2 if self.rows > self.at_once else 1) + ROOM

    def cache_bytes(self, model: str) -> float:
        """Keys and values of the rows that are decoded together."""
        return self._reading(model).cache_bytes * self.at_once * self.columns

    def pass_bytes(self, model: str) -> float:
        """The largest of a pass over the prompts, of the draw of tokens, and of their scores."""
        vocab_size = self.passes.setup.student.vocab_size
        drawing = self.at_once * vocab_size * DRAWING
        scored = min(self.passes.chunk_size, self.at_once * self.response)
        return max(self._reading(model).pass_bytes, drawing, scored * vocab_size * SCORING)

    def rounded_bytes(self, model: str) -> float:
        """Weights that autocast has rounded; the sampler keeps those that are trained."""
        return self._reading(model).rounded_bytes

    def _reading(self, model: str) -> Reading:
        return self.passes.reading(model, self.at_once, self.prompt)
