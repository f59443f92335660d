"""Log-probabilities over the vocabulary V, and what follows from one distribution alone.

Log-probabilities `[..., V]` are floored at `LOG_ZERO`, so that tokens which a model excludes
(logits of -inf, or underflow) are limits: 0 log 0 = 0, and an excluded token costs a large finite
number of nats.
"""

import torch
from torch import Tensor

from minillm.objectives.precision import LOG_ZERO


def log_softmax(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probabilities `[..., V]` of softmax(logits / temperature), at least float32."""
    dtype = torch.promote_types(logits.dtype, torch.float32)
    if temperature != 1:
        logits = logits.to(dtype) / temperature
    log_probs = logits.log_softmax(-1, dtype=dtype)
    if log_probs.requires_grad:  # autograd keeps the result of the softmax
        return log_probs.clamp(min=LOG_ZERO)
    return log_probs.clamp_(min=LOG_ZERO)


def token_log_probs(log_q: Tensor, ids: Tensor) -> Tensor:
    """Log-probabilities `[...]` of the tokens `ids` `[...]` under `log_q` `[..., V]`."""
    return log_q.gather(-1, ids[..., None])[..., 0]


def entropy(log_q: Tensor) -> Tensor:
    """H[q] = -sum over V of q log q, in nats `[...]`."""
    return -(log_q.exp() * log_q).sum(-1)


def kl(log_a: Tensor, log_b: Tensor) -> Tensor:
    """KL[a||b] = sum over V of a (log a - log b), in nats `[...]`.

    The reverse KL of distillation is `kl(log_q, log_p)`, the forward KL is `kl(log_p, log_q)`.
    """
    return (log_a - log_b).mul_(log_a.exp()).sum(-1)
