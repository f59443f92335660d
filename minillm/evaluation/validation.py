"""Scores during training: loss on the gold responses, and cheap metrics of sampled responses."""

import math
from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np

from minillm.data.encoding import Example
from minillm.evaluation.scoring import language_model_loss, score
from minillm.evaluation.selection import LOSS
from minillm.models.language_model import LanguageModel
from minillm.sampling.sampler import Decoding
from minillm.teachers.teacher import Teacher


def validate(
    student: LanguageModel,
    *,
    teacher: Teacher | None,
    examples: Sequence[Example],
    decoding: Decoding,
    seeds: Sequence[int],
    batch_size: int,
) -> dict[str, float]:
    """Means over inputs and seeds of every cheap metric that can be computed.

    Args:
        student: the model to score.
        teacher: None if there is none, or if its tokenizer is not the student's. Without a teacher,
            metrics that need a teacher are left out.
        examples: the validation inputs.
        decoding: temperature and limits.
        seeds: seeds of the decoding passes.
        batch_size: inputs decoded at once.

    Returns:
        The scores by name. A loss that is not finite is returned alone.
    """
    loss = language_model_loss(student, examples, batch_size)
    if not math.isfinite(loss):
        return {LOSS.name: loss}  # responses cannot be sampled from this model
    with teacher.whole() if teacher else nullcontext() as whole:
        summaries = [
            score(student, whole, examples, decoding, seed=seed, batch_size=batch_size).summary()
            for seed in seeds
        ]
    means = {name: float(np.mean([scores[name] for scores in summaries])) for name in summaries[0]}
    return {LOSS.name: loss} | means
