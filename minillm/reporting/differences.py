"""Paired differences between one method and all others on the same inputs, as Markdown."""

from collections.abc import Sequence

import numpy as np

from minillm.evaluation.metrics import Metric
from minillm.evaluation.significance import permutation_p
from minillm.evaluation.statistics import paired_bootstrap
from minillm.reporting.comparisons import (
    GREEDY,
    P_HEADER,
    P_TEST,
    SAMPLED,
    Comparison,
    difference_cells,
    p_legend,
    with_correction,
)
from minillm.reporting.groups import TEACHER, Group, unique
from minillm.reporting.markdown import escape, in_words, table

Values = tuple[np.ndarray, np.ndarray | None]  # of the inputs [N], with their weights [N] or None


def compare(
    groups: Sequence[Group], metrics: Sequence[Metric], reference: str | None
) -> list[Comparison]:
    """The reference minus every other method on the same inputs, sampled and greedy.

    If the reference has several models, each model is compared with the methods of the same model
    and with the teacher. Methods without values of the same inputs have a comparison without a
    difference.
    """
    comparisons = [
        comparison
        for first, second in pairs_of(groups, reference)
        for metric in metrics
        for comparison in (
            compare_values(first, second, metric, SAMPLED,
                           *(group.per_input(metric.name) for group in (first, second))),
            compare_values(first, second, metric, GREEDY,
                           *(greedy_values(group, metric) for group in (first, second))),
        )
    ]  # fmt: skip
    return with_correction(comparisons)


def differences_table(comparisons: Sequence[Comparison], metrics: Sequence[Metric]) -> str | None:
    """The comparisons of `compare` in these metrics; None if there is no other method."""
    if not comparisons:
        return None
    cells = {(_pair(each), each.metric.name, each.responses): each for each in comparisons}
    pairs = {_pair(each): each for each in comparisons}
    compared = {(each.metric.name, each.responses) for each in comparisons if each.difference}
    columns = [(metric, SAMPLED) for metric in metrics]
    columns += [(metric, GREEDY) for metric in metrics if (metric.name, GREEDY) in compared]
    rows = []
    for pair, any_of_pair in pairs.items():
        row = [cells[pair, metric.name, responses] for metric, responses in columns]
        if any(each.difference for each in row):
            texts = [text for each in row for text in difference_cells(each)]
            rows.append([any_of_pair.first.data, any_of_pair.name, *texts])
    text = escape(" ".join(_legend(comparisons, metrics)))
    if not rows:
        return text
    header = [
        label for metric, responses in columns
        for label in (_label(metric, responses, len(metrics)), P_HEADER)
    ]  # fmt: skip
    return f"{table(['data', 'methods', *header], rows, texts=2)}\n\n{text}"


def pairs_of(groups: Sequence[Group], reference: str | None) -> list[tuple[Group, Group]]:
    """Pairs of a group of the reference and a group of another method."""
    pairs = []
    for first in (group for group in groups if group.method == reference):
        same_data = [group for group in groups if group.data == first.data]
        has_one_model = sum(group.method == reference for group in same_data) == 1
        pairs += [
            (first, second)
            for second in same_data
            if second.method != reference
            and (has_one_model or second.model == first.model or second.method == TEACHER)
        ]
    return pairs


def compare_values(
    first: Group,
    second: Group,
    metric: Metric,
    responses: str,
    values: Values | None,
    baseline: Values | None,
) -> Comparison:
    """A comparison by the values of the inputs, without the correction of its p-value.

    It has no difference if a group lacks the values of its inputs, or has values of other inputs.
    """
    if values is None or baseline is None or len(values[0]) != len(baseline[0]):
        return Comparison(first, second, metric, responses, None, None)
    (scores, weights), (others, other_weights) = values, baseline
    return Comparison(
        first, second, metric, responses,
        paired_bootstrap(scores, others, weights, other_weights),
        permutation_p(scores, others, weights, other_weights),
    )  # fmt: skip


def greedy_values(group: Group, metric: Metric) -> Values | None:
    """The values of greedy decoding, without weights; None if a run lacks them."""
    values = group.greedy_per_input(metric.name)
    return None if values is None else (values, None)


def _legend(comparisons: Sequence[Comparison], metrics: Sequence[Metric]) -> list[str]:
    legend = [
        f"Difference in {in_words(metric.label for metric in metrics)} with the 95% paired "
        "bootstrap interval over inputs; the score of each input is averaged over sampling seeds "
        "and training runs."
    ]
    compared = [each for each in comparisons if each.difference]
    if any(each.responses == GREEDY for each in compared):
        legend.append("Greedy: the same of greedy decoding.")
    legend += [f"A lower {m.label} is better." for m in metrics if m.higher_is_better is False]
    if compared:
        legend.append(p_legend(P_TEST, len(compared)))
    for metric in metrics:
        sampled = [each for each in comparisons
                   if each.metric == metric and each.responses == SAMPLED]  # fmt: skip
        missing = unique(f"{each.name} ({each.first.data})" for each in sampled
                         if each.difference is None)  # fmt: skip
        if missing:
            pairs_missing = "all" if len(missing) == len(sampled) else ", ".join(missing)
            legend.append(
                f"Not compared in {metric.label}, because the results lack values of the same "
                f"inputs: {pairs_missing}."
            )
    return legend


def _pair(comparison: Comparison) -> tuple[str, str]:
    return comparison.first.data, comparison.name


def _label(metric: Metric, responses: str, metrics: int) -> str:
    """The heading of a column; a single metric needs no name."""
    if metrics == 1:
        return "difference" if responses == SAMPLED else "greedy"
    return metric.label if responses == SAMPLED else f"{metric.label}, greedy"
