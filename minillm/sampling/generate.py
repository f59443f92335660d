"""Decodes many prompts: batches of like length, each with chance of its own."""

from collections.abc import Iterator, Sequence

import torch

from minillm.data.batches import PromptBatch
from minillm.models.language_model import LanguageModel
from minillm.sampling.rollout import Rollout
from minillm.sampling.sampler import Decoding, sample


def length_batches(prompts: Sequence[Sequence[int]], batch_size: int) -> list[list[int]]:
    """Indices of the prompts in batches, long ones first, so that little is padded."""
    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def generate(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    decoding: Decoding,
    batch_size: int,
    seed: int,
    first_batch: int = 0,
) -> Iterator[tuple[list[int], Rollout]]:
    """Yield `(indices of the prompts, their responses)` batch by batch.

    A batch is seeded by its number alone: one that starts at `first_batch` yields what a whole run
    yields from there on.
    """
    for number, indices in enumerate(length_batches(prompts, batch_size)):
        if number < first_batch:
            continue
        generator = torch.Generator(model.device).manual_seed(seed * 1_000_003 + number)
        batch = PromptBatch.pad([prompts[i] for i in indices], model.pad_id).to(model.device)
        yield indices, sample(model, batch, decoding, generator)


def response_texts(model: LanguageModel, rollout: Rollout) -> list[str]:
    """The responses as text, without special tokens and surrounding space."""
    rows = [
        ids[mask.bool()].tolist()
        for ids, mask in zip(rollout.sequences.response_ids, rollout.mask, strict=True)
    ]
    return [text.strip() for text in model.tokenizer.batch_decode(rows, skip_special_tokens=True)]
