"""The full score of one model on one data set (paper, appendix B.1: temperature 1, five seeds)."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minillm.config import EvaluationConfig
from minillm.data.encoding import Example
from minillm.evaluation.scoring import Scores, score
from minillm.evaluation.statistics import bootstrap_interval, mean_and_std
from minillm.models.language_model import LanguageModel
from minillm.sampling.sampler import Decoding
from minillm.teachers.teacher import Teacher

GREEDY = "greedy"


@dataclass(frozen=True)
class Evaluation:
    """Scores by seed, `greedy` among them where asked for, and the seconds that they took."""

    scores: dict[int | str, Scores]
    seconds: float


def evaluate(
    model: LanguageModel,
    teacher: Teacher | None,
    examples: Sequence[Example],
    settings: EvaluationConfig,
    max_length: int,
    report: Callable[[str], None],
) -> Evaluation:
    """Respond to every input with every seed, and once greedily where `settings.greedy`."""
    start = time.perf_counter()
    decoding = Decoding(max_length, settings.temperature, settings.top_k, settings.top_p)
    scores: dict[int | str, Scores] = {}
    with teacher.whole() if teacher else nullcontext() as whole:
        for seed in [*settings.seeds, *([GREEDY] if settings.greedy else [])]:
            greedy = seed == GREEDY
            scores[seed] = score(
                model,
                None if greedy else whole,
                examples,
                replace(decoding, temperature=0.0) if greedy else decoding,
                0 if greedy else seed,
                settings.batch_size,
            )
            report(f"{'greedy' if greedy else f'seed {seed}'}: {scores[seed].rouge_l.mean():.2f}")
    return Evaluation(scores, time.perf_counter() - start)


def result(evaluation: Evaluation) -> dict[str, Any]:
    """The measured part of a result file (see `minillm/reporting/results.py` for all of it)."""
    sampled = {seed: one for seed, one in evaluation.scores.items() if seed != GREEDY}
    by_seed = np.stack([one.rouge_l for one in sampled.values()])  # [seeds, N]
    average, std = mean_and_std(by_seed)
    interval = bootstrap_interval(by_seed)
    summaries = [one.summary() for one in sampled.values()]

    def mean(name: str) -> float | None:
        values = [summary.get(name) for summary in summaries]
        return None if None in values else float(np.mean(values))

    greedy = evaluation.scores.get(GREEDY)
    return {
        "inputs": by_seed.shape[1],
        "rougeL": {
            "mean": average,
            "std": std,
            "ci_low": interval.low,
            "ci_high": interval.high,
            "per_seed": {str(seed): float(one.rouge_l.mean()) for seed, one in sampled.items()},
        },
        "greedy": greedy
        and {"rougeL": float(greedy.rouge_l.mean()), "length": float(greedy.lengths.mean())},
        "length": mean("length"),
        "empty": mean("empty"),
        "unfinished": mean("unfinished"),
        "reverse_kl": mean("reverse_kl"),
        "per_input": by_seed.mean(0).tolist(),
        "seeds": list(sampled),
        "wall_seconds": evaluation.seconds,
    }


def response_rows(evaluation: Evaluation, examples: Sequence[Example]) -> list[dict[str, Any]]:
    """Every response beside its prompt, references and score: the lines of the jsonl file."""
    return [
        {
            "seed": seed,
            "topic": example.topic,
            "prompt": example.prompt,
            "response": scores.responses[i],
            "references": list(example.references),
            "rougeL": round(float(scores.rouge_l[i]), 2),
        }
        for seed, scores in evaluation.scores.items()
        for i, example in enumerate(examples)
    ]
