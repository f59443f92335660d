"""Decodes many prompts, batches of like length, each prompt with chance of its own."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from minillm.data.batches import PromptBatch
from minillm.models.language_model import LanguageModel
from minillm.sampling.rollout import Rollout
from minillm.sampling.sampler import Decoding, sample


def by_length(prompts: Sequence[Sequence[int]], indices: Sequence[int] | None = None) -> list[int]:
    """The indices of the prompts (or some of them), long ones first."""
    indices = range(len(prompts)) if indices is None else indices
    return sorted(indices, key=lambda i: (-len(prompts[i]), i))


def length_batches(
    prompts: Sequence[Sequence[int]], batch_size: int, indices: Sequence[int] | None = None
) -> list[list[int]]:
    """Indices of the prompts in batches, long ones first, so that little is padded."""
    order = by_length(prompts, indices)
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def generate(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    decoding: Decoding,
    batch_size: int,
    seed: int,
    indices: Sequence[int] | None = None,
) -> Iterator[tuple[list[int], Rollout]]:
    """Yield `(indices of prompts, their responses)` batch by batch, long prompts first.

    `indices` are those of the prompts to respond to, by default all. A prompt's draws come from the
    seed and its index alone, so neither the batch size nor who decodes the others changes its
    response, but where rounding in another batch tips a draw.
    """
    for rows in length_batches(prompts, batch_size, indices):
        batch = PromptBatch.pad([prompts[i] for i in rows], model.pad_id).to(model.device)
        uniform = np.stack([_uniform_numbers(seed, i, decoding.max_length) for i in rows])
        uniform = torch.from_numpy(uniform).to(model.device)
        yield rows, sample(model, batch, decoding, None, uniform=uniform)


def _uniform_numbers(seed: int, index: int, count: int) -> np.ndarray:
    """The numbers `[count]` in [0, 1) that a prompt's tokens are drawn with."""
    return np.random.Generator(np.random.Philox(key=[seed, index])).random(count)


def response_texts(model: LanguageModel, rollout: Rollout) -> list[str]:
    """The responses as text, without special tokens and surrounding space."""
    rows = [
        ids[mask.bool()].tolist()
        for ids, mask in zip(rollout.sequences.response_ids, rollout.mask, strict=True)
    ]
    return [text.strip() for text in model.tokenizer.batch_decode(rows, skip_special_tokens=True)]
