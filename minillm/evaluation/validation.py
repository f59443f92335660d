"""Scores during training: loss on the gold responses, sampled ROUGE-L, reverse KL, length."""

import math
from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np

from minillm.data.encoding import Example
from minillm.evaluation.scoring import language_model_loss, score
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
    """Means over inputs and seeds of the student as it is; `reverse_kl` only with a teacher.

    A loss that is not finite comes alone.
    """
    loss = language_model_loss(student, examples, batch_size)
    if not math.isfinite(loss):
        return {"loss": loss}  # such a model cannot be sampled from
    with teacher.whole() if teacher else nullcontext() as whole:
        summaries = [
            score(student, whole, examples, decoding, seed, batch_size).summary() for seed in seeds
        ]
    means = {name: float(np.mean([one[name] for one in summaries])) for name in summaries[0]}
    return {"loss": loss} | means
