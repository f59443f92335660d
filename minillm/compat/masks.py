"""Attention masks of transformers without a wait for the device.

transformers asks the device in each forward pass whether the padding mask masks anything: without
padding, torch's attention needs no mask. The host waits for the answer, one or two times per pass.
The callers of this file know the answer in host memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS


@contextmanager
def padding_known(is_padded: bool) -> Iterator[None]:
    """Forward passes inside this context read no values of their padding mask.

    The masks are the same as without the context. Eager attention never reads the values, and
    FlashAttention always does, so that only the masks of torch's attention are made in another way.

    Args:
        is_padded: whether the padding mask of the forward passes masks any token.
    """
    original = ALL_MASK_ATTENTION_FUNCTIONS["sdpa"]

    def mask(
        *, attention_mask: Tensor | None = None, allow_is_causal_skip: bool = True, **options: Any
    ) -> Tensor | None:
        # Without a mask, the original decides from the shapes alone.
        return original(
            attention_mask=attention_mask if is_padded else None,
            allow_is_causal_skip=allow_is_causal_skip and not is_padded,
            **options,
        )

    ALL_MASK_ATTENTION_FUNCTIONS["sdpa"] = mask
    try:
        yield
    finally:
        ALL_MASK_ATTENTION_FUNCTIONS["sdpa"] = original
