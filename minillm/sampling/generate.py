"""Decodes many prompts; each prompt has its own random numbers, and freed rows are refilled."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from minillm.data.batches import PromptBatch
from minillm.models.language_model import LanguageModel
from minillm.sampling.rollout import Rollout
from minillm.sampling.sampler import Decoding, sample

# Batches whose prompts are decoded by one call of the sampler. New prompts replace the rows that
# end, so that only the last batch of a window becomes smaller. A window bounds the memory, and the
# time until its responses can be scored or written.
WINDOW = 8


def by_length(prompts: Sequence[Sequence[int]]) -> list[int]:
    """The indices of the prompts, long prompts first."""
    return sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))


def length_batches(prompts: Sequence[Sequence[int]], batch_size: int) -> list[list[int]]:
    """Indices of the prompts in batches of similar length, with little padding; longest first."""
    order = by_length(prompts)
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def generate(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    decoding: Decoding,
    *,
    batch_size: int,
    seed: int,
    indices: Sequence[int] | None = None,
    numbers: Sequence[int] | None = None,
) -> Iterator[tuple[list[int], Rollout]]:
    """Yield `(indices of prompts, their responses)` batch by batch, long prompts first.

    The random numbers of a prompt depend only on the seed and the number of the prompt. So a
    response does not depend on the batch size, on `indices` (None: all prompts) or on the processes
    that decode the other prompts. An exception is rounding in another batch that changes a draw.

    Args:
        model: writes the responses.
        prompts: token ids of each prompt.
        decoding: temperature and limits.
        batch_size: rows that are decoded at once, and rows of a batch of results.
        seed: seed of the random numbers.
        indices: the prompts that get a response; None for all prompts.
        numbers: a number from 0 to 2**64 - 1 for each prompt, which determines its random numbers;
            None for its index.
    """
    chosen = range(len(prompts)) if indices is None else indices
    for positions in length_batches([prompts[i] for i in chosen], WINDOW * batch_size):
        some = [chosen[i] for i in positions]
        window = PromptBatch.pad([prompts[i] for i in some], model.pad_id).to(model.device)
        keys = some if numbers is None else [numbers[i] for i in some]
        uniform = uniforms_by_number(seed, keys, decoding.max_length)
        rollout = sample(model, window, decoding, batch_size=batch_size, uniform=uniform)
        for rows in torch.arange(len(some)).split(batch_size):
            yield [some[i] for i in rows.tolist()], rollout.select(rows)


def uniforms_by_number(seed: int, numbers: Sequence[int], length: int) -> torch.Tensor:
    """Random numbers in [0, 1), float64 `[N, length]`; each row depends on seed and number alone.

    Args:
        seed: seed of all rows.
        numbers: the number of each row, 0 or more.
        length: T, numbers per row.
    """
    rows = [np.random.Generator(np.random.Philox(key=[seed, i])).random(length) for i in numbers]
    return torch.from_numpy(np.stack(rows))


def response_texts(model: LanguageModel, responses: Sequence[Sequence[int]]) -> list[str]:
    """Token ids of responses as texts, without special tokens and surrounding white space.

    The token that ends a response is removed even if the tokenizer does not list it as special.
    """
    rows = [[i for i in ids if i not in model.eos_ids] for ids in responses]
    return [text.strip() for text in model.tokenizer.batch_decode(rows, skip_special_tokens=True)]
