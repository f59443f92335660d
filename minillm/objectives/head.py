"""The output head: how a model gets from last hidden states to logits."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, tanh
from torch.nn import functional

from minillm.objectives.precision import HALF, at_least_float32, product


@dataclass(frozen=True)
class Head:
    """The parameters of an output head and the transforms that follow it.

    Logits are float32 or better, because half precision changes log-probabilities: a logit of 110
    in bfloat16 has a rounding error of up to 0.25.

    Attributes:
        weight: `[rows, d]`. Rows after the first `vocab_size` are padding and are never used.
        bias: `[rows]`, or None.
        vocab_size: V, the number of tokens that can occur.
        scale: factor of the logits (Cohere, Granite).
        softcap: limit of the scaled logits, applied by tanh (Gemma); None for no limit.
        autocast: dtype to which hidden states and weight are rounded for a fast product on a GPU,
            as by autocast; None: they are not rounded.
    """

    weight: Tensor
    bias: Tensor | None
    vocab_size: int
    scale: float = 1.0
    softcap: float | None = None
    autocast: torch.dtype | None = None

    def ready(self) -> "Head":
        """The same head with its weight in the dtype of the product, to convert it only once.

        The weight is rounded on GPUs only: a CPU has no product of half precision that returns
        float32, so that it multiplies in float32.
        """
        if self.weight.device.type == "cpu":
            weight = at_least_float32(self.weight)
        else:
            weight = self.weight.to(self.autocast or self.weight.dtype)
        bias = None if self.bias is None else at_least_float32(self.bias)
        return replace(self, weight=weight, bias=bias)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits `[..., V]`, at least float32, of last hidden states `[..., d]`."""
        ready = self.ready()
        weight = ready.weight[: self.vocab_size]
        bias = None if ready.bias is None else ready.bias[: self.vocab_size]
        rows = hidden.flatten(0, -2).to(weight.dtype)
        with torch.autocast(hidden.device.type, enabled=False):
            if weight.dtype in HALF:
                logits = product(rows, weight.T)
                logits = logits if bias is None else logits + bias
            else:
                logits = functional.linear(rows, weight, bias)
        logits = logits.unflatten(0, hidden.shape[:-1])
        if self.scale != 1:
            logits = logits.mul_(self.scale)
        if self.softcap is not None:
            logits = self.softcap * tanh(logits.div_(self.softcap))
        return logits

    def slope(self, logits: Tensor) -> Tensor | float:
        """d logits / d (hidden @ weight + bias): `[..., V]` with a softcap, else one number."""
        if self.softcap is None:
            return self.scale
        return self.scale * (1 - (logits / self.softcap).square())
