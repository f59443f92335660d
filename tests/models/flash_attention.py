"""FlashAttention's functions in plain torch, for tests on a CPU.

They have the interface, the meaning and the limits of the package `flash_attn` (version 2).
"""

from itertools import pairwise

import torch
from torch import Tensor

NO_WINDOW = (-1, -1)


def flash_attn_func(
    q: Tensor, k: Tensor, v: Tensor, dropout_p: float = 0.0, softmax_scale: float | None = None,
    causal: bool = False, window_size: tuple[int, int] = NO_WINDOW, softcap: float = 0.0,
    deterministic: bool = False,
) -> Tensor:  # fmt: skip
    """Attention `[B, S, heads, d]` of queries; the last query sees all L keys if it is causal."""
    if q.dtype not in (torch.float16, torch.bfloat16):
        raise RuntimeError("FlashAttention only support fp16 and bf16 data type")
    k, v = (x.repeat_interleave(q.shape[2] // x.shape[2], dim=2).float() for x in (k, v))
    scores = torch.einsum("bshd,blhd->bhsl", q.float(), k) * (softmax_scale or q.shape[3] ** -0.5)
    if softcap:
        scores = softcap * (scores / softcap).tanh()
    age = torch.arange(q.shape[1])[:, None] + k.shape[1] - q.shape[1] - torch.arange(k.shape[1])
    hidden = age < 0 if causal else torch.zeros_like(age, dtype=torch.bool)
    if window_size[0] >= 0:
        hidden |= age > window_size[0]
    weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
    return torch.einsum("bhsl,blhd->bshd", weights, v).to(q.dtype)


def flash_attn_varlen_func(
    q: Tensor, k: Tensor, v: Tensor, cu_seqlens_q: Tensor, cu_seqlens_k: Tensor, max_seqlen_q: int,
    max_seqlen_k: int, dropout_p: float = 0.0, softmax_scale: float | None = None,
    causal: bool = False, window_size: tuple[int, int] = NO_WINDOW, softcap: float = 0.0,
    deterministic: bool = False,
) -> Tensor:  # fmt: skip
    """`flash_attn_func` of sequences of different lengths, which follow each other."""
    parts = []
    for queries, keys in zip(pairwise(cu_seqlens_q), pairwise(cu_seqlens_k), strict=True):
        sequence = (x[start:end][None] for x, (start, end) in ((q, queries), (k, keys), (v, keys)))
        parts.append(flash_attn_func(*sequence, 0.0, softmax_scale, causal, window_size, softcap))
    return torch.cat(parts, dim=1)[0]
