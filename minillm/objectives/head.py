"""The output head: how a model gets from last hidden states to logits."""

from dataclasses import dataclass

from torch import Tensor, tanh
from torch.nn import functional

from minillm.objectives.precision import at_least_float32


@dataclass(frozen=True)
class Head:
    """The parameters of an output head and the transforms that follow it.

    Attributes:
        weight: `[rows, d]`. Rows after the first `vocab_size` are padding and are never used.
        bias: `[rows]`, or None.
        vocab_size: V, the number of tokens that can occur.
        scale: factor of the logits (Cohere, Granite).
        softcap: limit of the scaled logits, applied by tanh (Gemma); None for no limit.
    """

    weight: Tensor
    bias: Tensor | None
    vocab_size: int
    scale: float = 1.0
    softcap: float | None = None

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits `[..., V]` of last hidden states `[..., d]`, in the dtype of the weight."""
        bias = None if self.bias is None else self.bias[: self.vocab_size]
        hidden = hidden.to(self.weight.dtype)
        logits = functional.linear(hidden, self.weight[: self.vocab_size], bias)
        if self.scale != 1:
            logits = logits * self.scale
        if self.softcap is not None:
            logits = self.softcap * tanh(logits / self.softcap)
        return logits

    def slope(self, logits: Tensor) -> Tensor | float:
        """d logits / d (hidden @ weight + bias): `[..., V]` with a softcap, else one number."""
        if self.softcap is None:
            return self.scale
        return self.scale * (1 - (at_least_float32(logits) / self.softcap).square())
