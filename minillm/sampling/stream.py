"""Draws one response token by token, for a reader who watches."""

from collections.abc import Iterator, Sequence

import torch

from minillm.models.heads import output_head
from minillm.models.language_model import LanguageModel
from minillm.models.reader import CachedReader
from minillm.sampling.generate import uniforms_by_number
from minillm.sampling.sampler import Decoding, draw


@torch.no_grad()
def stream(
    model: LanguageModel, prompt_ids: Sequence[int], decoding: Decoding, seed: int
) -> Iterator[int]:
    """Yield the tokens of a response, without the token that ends it.

    The response is that of `generate` for the first of its prompts, with the same seed.

    Raises:
        FloatingPointError: the logits are not finite.
    """
    uniform = uniforms_by_number(seed, [0], decoding.max_length).to(model.device)
    reader, head = CachedReader(model), output_head(model).ready()
    ids = torch.tensor([list(prompt_ids)], device=model.device)
    for position in range(decoding.max_length):
        with model.precision():
            hidden = reader.read(ids, torch.ones(ids.shape, dtype=torch.bool))[:, -1]
            log_probs = head.logits(hidden).log_softmax(-1)
        if decoding.warps:
            log_probs = decoding.log_probs(log_probs)
        token, total = draw(log_probs, uniform[:, position])
        if not total.isfinite().all():
            raise FloatingPointError("the logits are not finite")
        if int(token) in model.eos_ids:
            return
        yield int(token)
        ids = token[:, None]
