"""Groups of results. A group holds the training runs of one method on one data set."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from minillm.evaluation.metrics import Metric
from minillm.evaluation.result import MetricResult, Result
from minillm.evaluation.statistics import Interval, bootstrap_interval, weighted_mean
from minillm.reporting.run_settings import have_same_settings

# The methods of results of the teacher and of the model from which the students start: the value of
# `evaluation.name`, or the role that `roles.py` finds. All other methods are those of students.
TEACHER = "teacher"
START = "init"
# The method that is compared with all others, if the results contain it.
USUAL_REFERENCE = "minillm"


@dataclass(frozen=True)
class Group:
    """One method on one data set: its label and one result for each training run, by seed."""

    data: str
    label: str
    results: tuple[Result, ...]

    @property
    def method(self) -> str:
        return self.results[0].method

    @property
    def model(self) -> str:
        return self.results[0].model

    def mean(self, value: Callable[[Result], float | None]) -> float | None:
        """Average of a value over the runs; None if a run lacks it."""
        values = [value(result) for result in self.results]
        return None if None in values else sum(values) / len(values)

    def runs(self, name: str) -> list[MetricResult] | None:
        """The metric of each run; None if a run lacks it."""
        metrics = [result.metric(name) for result in self.results]
        return None if None in metrics else metrics

    def score(self, name: str) -> float | None:
        """Average of a metric over the runs; None if a run lacks it."""
        runs = self.runs(name)
        return runs and sum(run.mean for run in runs) / len(runs)

    def greedy(self, name: str) -> float | None:
        """Average over the runs of a metric of greedy decoding; None if a run lacks it."""
        runs = self.runs(name)
        if runs is None or any(run.greedy is None for run in runs):
            return None
        return sum(run.greedy for run in runs) / len(runs)

    def per_input(self, name: str) -> tuple[np.ndarray, np.ndarray | None] | None:
        """Values [N] of a metric averaged over the runs, and their weights [N] or None.

        None if a run lacks these values, or if the runs were scored on other inputs.
        """
        runs = self.runs(name)
        if runs is None or any(run.per_input is None for run in runs):
            return None
        if len({len(run.per_input) for run in runs}) > 1:
            return None
        values = np.array([run.per_input for run in runs], dtype=np.float64)  # [R, N]
        if any(run.weights is None for run in runs):
            return values.mean(axis=0), None
        weights = np.array([run.weights for run in runs], dtype=np.float64)
        return weighted_mean(values.T, weights.T), weights.mean(axis=0)

    def greedy_per_input(self, name: str) -> np.ndarray | None:
        """Values [N] of greedy decoding averaged over the runs.

        None if a run lacks these values, or if the runs were scored on other inputs.
        """
        runs = [run.greedy_per_input for run in self.runs(name) or [MetricResult(0.0)]]
        if any(values is None for values in runs) or len({len(values) for values in runs}) > 1:
            return None
        return np.mean(runs, axis=0)

    def interval(self, name: str) -> Interval | None:
        """A metric with its 95% interval over inputs; None if a result holds only the mean.

        For one run this is the stored interval; for several runs, the interval of their average.
        """
        runs = self.runs(name)
        if runs is None or any(run.ci_low is None or run.ci_high is None for run in runs):
            return None
        mean = self.score(name)
        per_input = self.per_input(name) if len(runs) > 1 else None
        if per_input is not None:
            values, weights = per_input
            resampled = bootstrap_interval(values[None], None if weights is None else weights[None])
            return Interval(mean, resampled.low, resampled.high)
        # One run, or no common inputs to resample.
        low = sum(run.ci_low for run in runs) / len(runs)
        high = sum(run.ci_high for run in runs) / len(runs)
        return Interval(mean, low, high)


def group_results(results: Sequence[Result], reference: str | None = None) -> list[Group]:
    """Group the training seeds of each method and data set, in the order of the results.

    If the reference is a student, its groups are the last groups of their data set.
    """
    results_by_label = defaultdict(list)
    for result, label in zip(results, label_results(results), strict=True):
        results_by_label[result.data, label].append(result)
    groups = [Group(data, label, tuple(runs)) for (data, label), runs in results_by_label.items()]
    data_sets = unique(result.data for result in results)

    def position(group: Group) -> tuple[int, bool]:
        return data_sets.index(group.data), is_student(group) and group.method == reference

    return sorted(groups, key=position)


def label_results(results: Sequence[Result]) -> list[str]:
    """The method of each result, with the model or the run if the method is ambiguous.

    Results with the same label and data set are grouped as training seeds. So results of different
    models, several results with the same training seed, and results of runs with other settings
    need different labels.
    """
    models, seeds, runs = defaultdict(set), Counter(), defaultdict(list)
    for result in results:
        models[result.data, result.method].add(result.model)
        seeds[result.data, result.method, result.model, result.training_seed] += 1
        runs[result.method, result.model].append(result)
    many_models = {method for (_, method), names in models.items() if len(names) > 1}
    many_runs = {key[1:3] for key, count in seeds.items() if count > 1}
    many_runs |= {key for key, same in runs.items() if not have_same_settings(same)}
    labels = []
    for result in results:
        method, model = result.method, result.model
        run = result.run_name if (method, model) in many_runs else None
        details = unique([model if method in many_models else None, run])
        labels.append(f"{method} ({', '.join(details)})" if details else method)
    return labels


def is_student(group: Group) -> bool:
    """Whether a group is neither a teacher nor the start of the students."""
    return group.method not in (TEACHER, START)


def order_methods(methods: Iterable[str]) -> list[str]:
    """The methods without repetitions: teacher and start first, then the others in their order."""
    methods = unique(methods)
    roles = [role for role in (TEACHER, START) if role in methods]
    return roles + [method for method in methods if method not in roles]


def usual_reference(groups: Sequence[Group], metric: Metric) -> str | None:
    """The method to compare with all others: MiniLLM if results have it, else the best student.

    The best student has results on the most data sets and, among such students, the best average of
    the metric. For a metric without a direction, it is the last student. None without students.
    """
    scores = defaultdict(list)
    for group in groups:
        value = group.score(metric.name)
        if is_student(group) and value is not None:
            scores[group.method].append(value)
    if USUAL_REFERENCE in scores:
        return USUAL_REFERENCE
    if not scores:
        return None
    if metric.higher_is_better is None:
        return list(scores)[-1]
    sign = 1 if metric.higher_is_better else -1
    return max(scores, key=lambda name: (len(scores[name]), sign * np.mean(scores[name])))


def unique(values: Iterable) -> list:
    """The values without None and repetitions, in the order of their first appearance."""
    return list(dict.fromkeys(value for value in values if value is not None))
