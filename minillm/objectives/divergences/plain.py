"""The log-softmax and functions of log-probabilities `[..., V]` of any shape, for autograd.

Student q and teacher p are compared in nats `[...]`. Tokens that a model excludes (-inf logits, or
underflow) are handled as limits: 0 log 0 = 0, and a token that p excludes costs a large finite
value.
"""

import torch
from torch import Tensor

from minillm.objectives.precision import finite


def log_softmax(logits: Tensor) -> Tensor:
    """Log-probabilities `[..., V]`, at least float32 and never below `LOG_ZERO`."""
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return finite(logits.log_softmax(-1, dtype=dtype))


def token_log_probs(log_q: Tensor, ids: Tensor) -> Tensor:
    """Log-probability `[...]` of each token of `ids` `[...]` under `log_q` `[..., V]`."""
    return log_q.gather(-1, ids[..., None])[..., 0]


def reverse_kl(log_q: Tensor, log_p: Tensor) -> Tensor:
    """KL[q || p] = sum over V of q (log q - log p): the single-step term's -E_q[r_t] (eq. 3)."""
    return (log_q.exp() * (log_q - log_p)).sum(-1)


def entropy(log_q: Tensor) -> Tensor:
    """H[q] = -sum over V of q log q."""
    return -(log_q.exp() * log_q).sum(-1)


def forward_kl(log_q: Tensor, log_p: Tensor) -> Tensor:
    """KL[p || q] = sum over V of p (log p - log q): the term of word-level distillation."""
    return reverse_kl(log_p, log_q)
