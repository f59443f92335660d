"""Groups of results: the training runs of one method on one data set, put together.

Results are the dictionaries that `results.load_results` gives.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from minillm.evaluation.statistics import Interval, bootstrap_interval

TEACHER = "teacher"
OURS = "minillm"
# Read from the top: the bound, where students start, the baselines; others; MiniLLM last.
_FIRST_METHODS = (TEACHER, "init", "sft", "kd", "seqkd")


@dataclass(frozen=True)
class Group:
    """One method on one data set: its label and one result for each training run, by seed."""

    data: str
    label: str
    results: tuple[dict, ...]

    @property
    def method(self) -> str:
        return self.results[0]["method"]

    @property
    def model(self) -> str:
        return self.results[0]["model"]

    def mean(self, key: str) -> float | None:
        """Average of a dotted key over the runs; None if a run lacks it."""
        values = [value_at(result, key) for result in self.results]
        return None if None in values else sum(values) / len(values)

    def per_input(self) -> np.ndarray | None:
        """Scores [N] averaged over the runs; None if the runs were scored on other inputs."""
        scores = [result["per_input"] for result in self.results]
        return np.mean(scores, axis=0) if len(set(map(len, scores))) == 1 else None

    def interval(self) -> Interval:
        """ROUGE-L with its 95% interval over inputs: the stored one, or that of the runs' mean."""
        if len(self.results) == 1:
            score = self.results[0]["rougeL"]
            return Interval(score["mean"], score["ci_low"], score["ci_high"])
        scores = self.per_input()
        if scores is None:  # no common inputs to draw again
            return Interval(*(self.mean(f"rougeL.{key}") for key in ("mean", "ci_low", "ci_high")))
        return bootstrap_interval(scores[None])


def group_results(results: Sequence[dict]) -> list[Group]:
    """Gather the training seeds of each method and data set, in the order of the results."""
    groups = defaultdict(list)
    for result, label in zip(results, label_results(results), strict=True):
        groups[result["data"], label].append(result)
    return [Group(data, label, tuple(group)) for (data, label), group in groups.items()]


def label_results(results: Sequence[dict]) -> list[str]:
    """Methods, with the model or the run added where the method alone would mix different things.

    Results of one method on one data set are put together as its training seeds, so those of
    different models, and several with the same training seed, need different labels.
    """
    models, seeds = defaultdict(set), Counter()
    for result in results:
        data, method, model = result["data"], result["method"], result["model"]
        models[data, method].add(model)
        seeds[data, method, model, value_at(result, "training.seed")] += 1
    many_models = {method for (_, method), names in models.items() if len(names) > 1}
    many_runs = {key[1:3] for key, count in seeds.items() if count > 1}
    labels = []
    for result in results:
        method, model = result["method"], result["model"]
        run = value_at(result, "run.name") if (method, model) in many_runs else None
        details = unique([model if method in many_models else None, run])
        labels.append(f"{method} ({', '.join(details)})" if details else method)
    return labels


def method_order(method: str) -> tuple[int, str]:
    """Sorts methods as tables and figures show them."""
    if method in _FIRST_METHODS:
        return _FIRST_METHODS.index(method), method
    return len(_FIRST_METHODS) + (method == OURS), method


def value_at(result: dict, key: str):
    """The value at a dotted key; None where it, or an object on the way to it, is missing."""
    return reduce(lambda value, name: (value or {}).get(name), key.split("."), result)


def unique(values: Iterable) -> list:
    """The values without None and repetitions, in the order of their first appearance."""
    return list(dict.fromkeys(value for value in values if value is not None))
