"""Scores during training: loss on the gold responses, and the cheap metrics of responses."""

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
    teacher: Teacher | None,
    examples: Sequence[Example],
    decoding: Decoding,
    seeds: Sequence[int],
    batch_size: int,
) -> dict[str, float]:
    """Means over inputs and seeds of every metric that is cheap and can be computed.

    Args:
        student: the model as it is.
        teacher: None where there is none, or where its tokenizer is not the student's; metrics that
            need a teacher are left out then.
        examples: the validation inputs.
        decoding: temperature and limits.
        seeds: one decoding pass for each.
        batch_size: inputs decoded at once.

    Returns:
        The scores by name. A loss that is not finite is returned alone.
    """
    loss = language_model_loss(student, examples, batch_size)
    if not math.isfinite(loss):
        return {LOSS.name: loss}  # such a model cannot be sampled from
    with teacher.whole() if teacher else nullcontext() as whole:
        summaries = [
            score(student, whole, examples, decoding, seed=seed, batch_size=batch_size).summary()
            for seed in seeds
        ]
    means = {name: float(np.mean([one[name] for one in summaries])) for name in summaries[0]}
    return {LOSS.name: loss} | means
