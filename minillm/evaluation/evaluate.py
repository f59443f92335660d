"""The full score of one model on one data set (paper, appendix B.1: temperature 1, five seeds)."""

import logging
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minillm.config import EvaluationConfig
from minillm.data.encoding import Example
from minillm.evaluation.exposure import ExposureBias
from minillm.evaluation.exposure_sampling import sample_exposure_bias
from minillm.evaluation.frontier import Frontier
from minillm.evaluation.frontier_sampling import (
    consecutive_seeds,
    frontier_terms,
    sample_frontier,
)
from minillm.evaluation.metrics import METRICS, cheap_metrics
from minillm.evaluation.passes import DEFAULT_TERMS
from minillm.evaluation.result import MetricResult
from minillm.evaluation.scoring import Scores, read_references, score
from minillm.evaluation.statistics import average_over_seeds, bootstrap_interval, mean_and_std
from minillm.evaluation.store import Store
from minillm.models.language_model import LanguageModel
from minillm.progress import begin_part, responses_shown
from minillm.sampling.sampler import Decoding
from minillm.teachers.teacher import Teacher

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """The scores of all sampling seeds and of greedy decoding, and the seconds they took."""

    sampled: dict[int, Scores]
    greedy: Scores | None
    seconds: float
    frontier: Frontier | None = None
    exposure_bias: ExposureBias | None = None


def evaluate(
    model: LanguageModel,
    teacher: Teacher | None,
    examples: Sequence[Example],
    settings: EvaluationConfig,
    max_length: int,
    store: Store | None = None,
) -> Evaluation:
    """Sample responses to all inputs with every seed, and decode greedily if `settings.greedy`.

    If `settings` name a frontier, it is sampled too, and greedy decoding is its end point. With
    `settings.greedy=false`, the greedy responses are used for the frontier only. The exposure bias
    has responses of its own, and needs a teacher that samples.

    Args:
        model: writes the responses.
        teacher: for metrics that need a teacher; None if there is none, or if its tokenizer is not
            that of the model. Greedy responses are scored without the teacher, because the reverse
            KL is a mean over sampled responses.
        examples: the inputs.
        settings: seeds, decoding, batch size and metrics.
        max_length: maximum tokens of a response.
        store: keeps each finished part, and has the parts of an earlier evaluation; None to keep
            none.
    """
    start = time.perf_counter()
    decoding = Decoding(max_length, settings.temperature, settings.top_k, settings.top_p)
    scoring = {"batch_size": settings.batch_size, "metrics": settings.metrics, "store": store}
    is_point = _samples_a_point(settings)
    terms = frontier_terms(decoding) if is_point else DEFAULT_TERMS
    sampled, greedy, frontier, bias, references = {}, None, None, None, None
    if any(METRICS[name].reads_references for name in settings.metrics or ()):
        references = read_references(model, examples)
    with (
        teacher.whole() if teacher else nullcontext() as whole,
        responses_shown("evaluation", _passes(settings) * len(examples), delay=0),
    ):
        compared = whole if _needs_teacher(settings) else None
        for seed in settings.seeds:
            begin_part(f"seed {seed}")
            sampled[seed] = score(
                model, compared, examples, decoding, seed=seed, terms=terms, references=references,
                **scoring,
            )  # fmt: skip
            log.info("seed %d: %s", seed, _in_words(sampled[seed]))
        if settings.greedy or settings.has_frontier:
            begin_part("greedy")
            greedy_decoding = replace(decoding, temperature=0.0)
            greedy = score(model, None, examples, greedy_decoding, seed=0, **scoring)
            log.info("greedy: %s", _in_words(greedy))
        if settings.has_frontier:
            frontier = sample_frontier(
                model, compared, examples, settings, max_length, greedy,
                sampled if is_point else {}, store,
            )  # fmt: skip
        if settings.exposure_samples:
            bias = sample_exposure_bias(
                model, whole, examples, max_length=max_length, batch_size=settings.batch_size,
                seeds=consecutive_seeds(settings.seeds, settings.exposure_samples), store=store,
            )  # fmt: skip
    seconds = time.perf_counter() - start
    return Evaluation(sampled, greedy if settings.greedy else None, seconds, frontier, bias)


def _needs_teacher(settings: EvaluationConfig) -> bool:
    """Whether a chosen metric compares student and teacher. Otherwise the teacher reads nothing."""
    names = cheap_metrics() if settings.metrics is None else settings.metrics
    return any(METRICS[name].needs_teacher for name in names)


def _samples_a_point(settings: EvaluationConfig) -> bool:
    """Whether the responses of the evaluation are also those of a point of the frontier."""
    is_plain = settings.temperature == 1 and settings.top_k == 0 and settings.top_p == 1
    return is_plain and 1.0 in (settings.frontier or ())


def _passes(settings: EvaluationConfig) -> int:
    """How often an evaluation writes a response to each input."""
    points = len(settings.frontier or ()) + len(settings.frontier_top_p or ())
    passes = len(settings.seeds) + points * settings.frontier_samples
    passes += 2 * (settings.exposure_samples or 0)
    if _samples_a_point(settings):
        of_point = consecutive_seeds(settings.seeds, settings.frontier_samples)
        passes -= len({*settings.seeds} & {*of_point})
    return passes + (settings.greedy or settings.has_frontier)


def metric_results(evaluation: Evaluation) -> dict[str, MetricResult | None]:
    """The metrics of a result by name; None for a metric that could not be computed."""
    names = next(iter(evaluation.sampled.values())).values
    return {name: _metric_result(name, evaluation) for name in names}


def _metric_result(name: str, evaluation: Evaluation) -> MetricResult | None:
    by_seed = [scores.values[name] for scores in evaluation.sampled.values()]
    if None in by_seed:
        reason = "the metric needs a teacher with the tokenizer of the model"
        log.info("%s is left out%s", name, f": {reason}" if METRICS[name].needs_teacher else "")
        return None
    values = np.stack([of_seed.per_input for of_seed in by_seed])  # [S, N]
    if not np.isfinite(values).all():
        count = np.count_nonzero(~np.isfinite(values))
        log.warning("%s is left out: %d of %d values are not finite", name, count, values.size)
        return None
    weights = None
    if by_seed[0].weights is not None:
        weights = np.stack([of_seed.weights for of_seed in by_seed])
    mean, std = mean_and_std(values, weights)
    interval = bootstrap_interval(values, weights)
    per_input, input_weights = average_over_seeds(values, weights)
    per_seed = {
        str(seed): of_seed.mean() for seed, of_seed in zip(evaluation.sampled, by_seed, strict=True)
    }
    greedy = evaluation.greedy and evaluation.greedy.values[name]
    return MetricResult(
        mean=mean,
        std=std,
        ci_low=interval.low,
        ci_high=interval.high,
        per_seed=per_seed,
        greedy=greedy.mean() if greedy else None,
        per_input=per_input.tolist(),
        weights=None if input_weights is None else input_weights.tolist(),
        greedy_per_input=greedy.per_input.tolist() if greedy and greedy.weights is None else None,
    )


def response_rows(evaluation: Evaluation, examples: Sequence[Example]) -> list[dict[str, Any]]:
    """Every response with its prompt, references and values: the lines of the jsonl file."""
    passes: dict[int | str, Scores] = dict(evaluation.sampled)
    if evaluation.greedy:
        passes["greedy"] = evaluation.greedy
    return [
        {
            "seed": seed,
            "topic": example.topic,
            "task": example.task,
            "prompt": example.prompt,
            "response": scores.responses.texts[i],
            "references": list(example.references),
        }
        | {
            name: round(float(values.per_input[i]), 3)
            for name, values in scores.values.items()
            if values
        }
        for seed, scores in passes.items()
        for i, example in enumerate(examples)
    ]


def _in_words(scores: Scores) -> str:
    """Means for the log, such as `ROUGE-L 53.4, length 27.6`."""
    return ", ".join(
        f"{METRICS[name].label} {mean:{METRICS[name].form}}"
        for name, mean in scores.summary().items()
    )
