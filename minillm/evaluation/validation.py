"""Scores during training: loss on the gold responses, and cheap metrics of sampled responses."""

import logging
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

import numpy as np

from minillm.config import TrainingConfig
from minillm.data.encoding import Example
from minillm.evaluation.equal_diversity import interpolate
from minillm.evaluation.result import ROUGE_L
from minillm.evaluation.scoring import Scores, language_model_loss, score
from minillm.evaluation.selection import FRONTIER, GREEDY, LOSS
from minillm.evaluation.statistics import weighted_mean
from minillm.evaluation.within_prompt import distinct_within
from minillm.models.language_model import LanguageModel
from minillm.progress import responses_shown
from minillm.sampling.sampler import Decoding
from minillm.teachers.teacher import Teacher

log = logging.getLogger(__name__)

# Responses per prompt at each temperature of `training.frontier`.
SAMPLES = 2


def validate(
    student: LanguageModel,
    *,
    teacher: Teacher | None,
    examples: Sequence[Example],
    decoding: Decoding,
    training: TrainingConfig,
    batch_size: int,
) -> dict[str, float]:
    """Means over inputs and seeds of every cheap metric that can be computed.

    With `training.select_by=greedy`, the student also decodes greedily. With
    `training.select_by=frontier`, it also samples at the temperatures of `training.frontier`.

    Args:
        student: the model to score.
        teacher: None if there is none, or if its tokenizer is not the student's. Without a teacher,
            metrics that need a teacher are left out.
        examples: the validation inputs.
        decoding: temperature and limits.
        training: seeds of the decoding passes, and the score that selects the best checkpoint.
        batch_size: inputs decoded at once.

    Returns:
        The scores by name. A loss that is not finite is returned alone.
    """
    loss = language_model_loss(student, examples, batch_size)
    if not math.isfinite(loss):
        return {LOSS.name: loss}  # responses cannot be sampled from this model
    with responses_shown("validation", _passes(training) * len(examples)):
        with teacher.whole() if teacher else nullcontext() as whole:
            summaries = [
                score(student, whole, examples, decoding, seed=seed, batch_size=batch_size)
                .summary()
                for seed in training.validation_seeds
            ]  # fmt: skip
        scores = {LOSS.name: loss}
        scores |= {name: float(np.mean([x[name] for x in summaries])) for name in summaries[0]}
        if training.select_by in (GREEDY.name, FRONTIER.name):
            greedy = _quality(student, examples, replace(decoding, temperature=0.0), 0, batch_size)
            scores[GREEDY.name] = greedy.summary()[ROUGE_L]
        if training.select_by == FRONTIER.name:
            scores[FRONTIER.name] = _at_diversity(
                student, examples, decoding, training, batch_size, greedy
            )
    return scores


def _passes(training: TrainingConfig) -> int:
    """How often a validation samples a response to each input."""
    passes = len(training.validation_seeds) + (training.select_by in (GREEDY.name, FRONTIER.name))
    if training.select_by == FRONTIER.name:
        passes += SAMPLES * len(training.frontier)
    return passes


def _at_diversity(
    student: LanguageModel,
    examples: Sequence[Example],
    decoding: Decoding,
    training: TrainingConfig,
    batch_size: int,
    greedy: Scores,
) -> float:
    """ROUGE-L at `training.frontier_diversity`, on straight lines between the temperatures.

    A student that is more diverse even when greedy gets the score of greedy decoding. A student
    that is less diverse at every temperature gets nan, which is never the best score: the score at
    the nearest temperature would prefer a student that has collapsed.
    """
    points = [_point([greedy] * SAMPLES)]
    for temperature in training.frontier:
        at_temperature = replace(decoding, temperature=temperature)
        seeds = range(training.validation_seeds[0], training.validation_seeds[0] + SAMPLES)
        points.append(
            _point([_quality(student, examples, at_temperature, seed, batch_size)
                    for seed in seeds])
        )  # fmt: skip
    diversity, quality, ngrams = np.array(points).T
    wanted = training.frontier_diversity
    if not ngrams.any():
        log.warning("no response has four words, so there is no diversity, and this checkpoint has "
                    "no score. Use another training.select_by.")  # fmt: skip
        return math.nan
    if wanted > diversity.max():
        log.warning(
            "the diversity is at most %.3f (temperatures %s), below training.frontier_diversity=%g,"
            " so this checkpoint has no score. Lower training.frontier_diversity, or add higher "
            "temperatures to training.frontier.", diversity.max(), training.frontier, wanted,
        )  # fmt: skip
        return math.nan
    at = np.array([max(wanted, diversity.min())])
    return float(interpolate(diversity[None], quality[None], at)[0, 0])


def _point(passes: Sequence[Scores]) -> tuple[float, float, float]:
    """Diversity within a prompt, ROUGE-L, and number of 4-grams of several passes."""
    shares, counts = distinct_within([scores.responses.texts for scores in passes])
    quality = np.mean([scores.summary()[ROUGE_L] for scores in passes])
    return float(weighted_mean(shares, counts)), float(quality), float(counts.sum())


def _quality(
    student: LanguageModel,
    examples: Sequence[Example],
    decoding: Decoding,
    seed: int,
    batch_size: int,
) -> Scores:
    """ROUGE-L of one pass, without a teacher."""
    options = {"batch_size": batch_size, "metrics": [ROUGE_L], "terms": {}}
    return score(student, None, examples, decoding, seed=seed, **options)
