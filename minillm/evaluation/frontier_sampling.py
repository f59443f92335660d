"""Samples the frontier of a model: several responses per prompt at each temperature."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from minillm.config import EvaluationConfig
from minillm.data.encoding import Example
from minillm.evaluation.frontier import (
    DIVERSITY,
    ENTROPY,
    FORWARD_KL,
    LENGTH,
    NGRAMS,
    REVERSE_KL,
    SELF_BLEU,
    Frontier,
    FrontierPoint,
    PointValue,
    greedy_first,
    point_value,
    stored,
)
from minillm.evaluation.metrics import METRICS, cheap_metrics
from minillm.evaluation.scoring import Scores, Values, score
from minillm.evaluation.statistics import average_over_seeds
from minillm.evaluation.store import Store
from minillm.evaluation.within_prompt import distinct_within, self_bleu
from minillm.models.language_model import LanguageModel
from minillm.objectives import distributions, divergences
from minillm.objectives.precision import LOG_ZERO
from minillm.objectives.terms import Block, DivergenceTerm, Terms
from minillm.progress import begin_part
from minillm.sampling.sampler import Decoding
from minillm.teachers.teacher import Teacher

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SampledEntropy:
    """H of the distribution from which `decoding` draws a token, in nats. It has no gradient."""

    decoding: Decoding
    needs_targets = False

    def value(self, block: Block) -> Tensor:
        return distributions.entropy(self.decoding.log_probs(block.log_q()).clamp(min=LOG_ZERO))


def sample_frontier(
    model: LanguageModel,
    teacher: Teacher | None,
    examples: Sequence[Example],
    settings: EvaluationConfig,
    max_length: int,
    greedy: Scores,
    sampled: Mapping[int, Scores],
    store: Store | None = None,
) -> Frontier:
    """Respond several times to every input at each temperature, and for each top-p.

    The seeds of the responses are the same at all points, so that the points of a model, and the
    models, differ less by chance.

    Args:
        model: the model whose frontier is measured.
        teacher: for the reverse KL, or None.
        examples: the inputs.
        max_length: of a response, in tokens.
        settings: temperatures, top-p, samples, metrics and batch size.
        greedy: the scores of greedy decoding, the end point.
        sampled: passes at temperature 1 by seed, with the terms of `frontier_terms`. These passes
            are not repeated.
        store: see `evaluate`.
    """
    decodings = [Decoding(max_length, temperature) for temperature in settings.frontier or ()]
    decodings += [Decoding(max_length, top_p=top_p) for top_p in settings.frontier_top_p or ()]
    names = frontier_metrics(settings.metrics)
    seeds = consecutive_seeds(settings.seeds, settings.frontier_samples)
    points = [_point([greedy] * len(seeds), Decoding(max_length, 0.0), names)]
    for decoding in decodings:
        begin_part(f"frontier, {_where(decoding)}")
        existing = sampled if decoding == Decoding(max_length) else {}
        passes = [
            existing.get(seed)
            or score(model, teacher, examples, decoding, seed=seed, batch_size=settings.batch_size,
                  metrics=names, terms=frontier_terms(decoding), store=store)
            for seed in seeds
        ]  # fmt: skip
        points.append(_point(passes, decoding, names))
        log.info("frontier, %s", _in_words(points[-1], names))
    if all(point.mean(NGRAMS) == 0 for point in points):
        log.warning("no response has four words, so the frontier has no diversity")
    return Frontier(len(seeds), greedy_first(points))


def consecutive_seeds(seeds: Sequence[int], samples: int) -> list[int]:
    """As many seeds as there are samples: the first of the evaluation, and the numbers after it.

    So the responses stay the same if an evaluation gets more seeds.
    """
    return [*range(seeds[0], seeds[0] + samples)]


def frontier_metrics(names: Sequence[str] | None) -> list[str]:
    """The metrics of a frontier among the chosen ones: the value of a response is its own."""
    chosen = [METRICS[name] for name in (cheap_metrics() if names is None else names)]
    return [
        m.name
        for m in chosen
        if not m.looks_at_all and not m.needs_teacher and not m.reads_references
    ]


def frontier_terms(decoding: Decoding) -> Terms:
    """Terms of the sampled distribution q: its entropy, and both KLs with the teacher p.

    p has temperature 1. Top-p gives no KLs: the forward KL is infinite, because q excludes tokens.
    """
    terms = {ENTROPY: SampledEntropy(decoding)}
    if decoding.top_p < 1:
        return terms
    temperatures = {
        "temperature": decoding.temperature, "teacher_temperature": 1.0, "squared": False
    }  # fmt: skip
    return terms | {
        REVERSE_KL: DivergenceTerm(divergences.ReverseKL(), **temperatures),
        FORWARD_KL: DivergenceTerm(divergences.ForwardKL(), **temperatures),
    }


def _point(passes: Sequence[Scores], decoding: Decoding, names: Sequence[str]) -> FrontierPoint:
    """The values of a point from its S passes, averaged over the responses to each prompt."""
    values: dict[str, PointValue | None] = {}
    for name in names:
        values |= _metric_values(name, [scores.values[name] for scores in passes])
    responses = [scores.responses for scores in passes]
    lengths = np.stack([each.lengths for each in responses]).astype(np.float64)  # [S, N]
    texts = [each.texts for each in responses]
    shares, counts = distinct_within(texts)
    values |= {
        LENGTH: point_value(lengths.mean(axis=0)),
        DIVERSITY: point_value(shares, counts, NGRAMS),
        NGRAMS: point_value(counts),
        SELF_BLEU: point_value(self_bleu(texts)),
    }
    if decoding.temperature == 0:
        no_entropy = point_value(np.zeros(lengths.shape[1]))
        values |= {ENTROPY: no_entropy, REVERSE_KL: None, FORWARD_KL: None}
    else:
        for name in (ENTROPY, REVERSE_KL, FORWARD_KL):
            values[name] = _per_token([getattr(each, name) for each in responses], lengths)
    return FrontierPoint(decoding.temperature, decoding.top_p, stored(values))


def _metric_values(name: str, passes: Sequence[Values | None]) -> dict[str, PointValue | None]:
    """A metric, and its weights under another name if it has weights."""
    if None in passes or not all(np.isfinite(each.per_input).all() for each in passes):
        return {name: None}
    per_input = np.stack([each.per_input for each in passes])  # [S, N]
    if passes[0].weights is None:
        return {name: point_value(per_input.mean(axis=0))}
    weights_name = f"{name}_weights"
    averaged = average_over_seeds(per_input, np.stack([each.weights for each in passes]))
    return {name: point_value(*averaged, weights_name), weights_name: point_value(averaged[1])}


def _per_token(sums: Sequence[np.ndarray | None], lengths: np.ndarray) -> PointValue | None:
    """Nats per token of each input, weighed by its tokens; None if a sum is unknown or infinite.

    Args:
        sums: over the tokens of each response, in nats: `[N]` for each of S passes.
        lengths: tokens, `[S, N]`.
    """
    if any(of_pass is None or not np.isfinite(of_pass).all() for of_pass in sums):
        return None
    return point_value(*average_over_seeds(np.stack(sums) / lengths, lengths), LENGTH)


def _where(point: FrontierPoint | Decoding) -> str:
    return f"temperature {point.temperature:g}" if point.top_p == 1 else f"top-p {point.top_p:g}"


def _in_words(point: FrontierPoint, names: Sequence[str]) -> str:
    """Values of a point for the log, such as `temperature 0.5: diversity 0.801, ROUGE-L 53.4`."""
    metrics = [f"{METRICS[name].label} {point.mean(name):{METRICS[name].form}}" for name in names
               if METRICS[name].higher_is_better and point.values[name]]  # fmt: skip
    return f"{_where(point)}: {', '.join([f'diversity {point.mean(DIVERSITY):.3f}', *metrics])}"
