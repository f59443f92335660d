"""Paired differences between one method and all others on the same inputs, as Markdown."""

from collections.abc import Sequence

from minillm.evaluation.metrics import Metric
from minillm.evaluation.statistics import Interval, paired_bootstrap
from minillm.reporting.groups import TEACHER, Group
from minillm.reporting.markdown import NOTHING, escape, in_words, table


def differences_table(
    groups: Sequence[Group], metrics: Sequence[Metric], reference: str | None
) -> str | None:
    """The reference minus every other method on the same inputs; None if there is no other method.

    If the reference has several models, each model is compared with the methods of the same model
    and with the teacher.
    """
    pairs = pairs_of(groups, reference)
    if not pairs:
        return None
    names = [f"{first.label} minus {second.label}" for first, second in pairs]
    differences = [[_difference(*pair, metric) for metric in metrics] for pair in pairs]
    greedy = [[_greedy_difference(*pair, metric) for metric in metrics] for pair in pairs]
    decoded = [i for i, column in enumerate(zip(*greedy, strict=True)) if any(column)]
    rows = [
        [first.data, name, *map(_difference_cell, row, metrics)]
        + [_difference_cell(greedy_row[i], metrics[i]) for i in decoded]
        for (first, _), name, row, greedy_row in zip(pairs, names, differences, greedy, strict=True)
        if any(row)
    ]
    legend = [
        f"Difference in {in_words(metric.label for metric in metrics)} with the 95% paired "
        "bootstrap interval over inputs; the score of each input is averaged over sampling seeds "
        "and training runs."
    ]
    if decoded:
        legend.append("Greedy: the same of greedy decoding.")
    legend += [f"A lower {m.label} is better." for m in metrics if m.higher_is_better is False]
    for metric, column in zip(metrics, zip(*differences, strict=True), strict=True):
        missing = [
            f"{name} ({first.data})"
            for (first, _), name, difference in zip(pairs, names, column, strict=True)
            if difference is None
        ]
        if missing:
            pairs_missing = "all" if len(missing) == len(pairs) else ", ".join(missing)
            legend.append(
                f"Not compared in {metric.label}, because the results lack values of the same "
                f"inputs: {pairs_missing}."
            )
    text = escape(" ".join(legend))
    if not rows:
        return text
    columns = [metric.label for metric in metrics] if len(metrics) > 1 else ["difference"]
    greedy_columns = [f"{name}, greedy" if len(metrics) > 1 else "greedy" for name in columns]
    columns += [greedy_columns[i] for i in decoded]
    return f"{table(['data', 'methods', *columns], rows, texts=2)}\n\n{text}"


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


def _difference(first: Group, second: Group, metric: Metric) -> Interval | None:
    """None if a group lacks the values of its inputs, or has values of other inputs."""
    values = [group.per_input(metric.name) for group in (first, second)]
    if any(value is None for value in values):
        return None
    (scores, weights), (baseline, baseline_weights) = values
    if len(scores) != len(baseline):
        return None
    return paired_bootstrap(scores, baseline, weights, baseline_weights)


def _greedy_difference(first: Group, second: Group, metric: Metric) -> Interval | None:
    """None if a group lacks the values of greedy decoding, or has values of other inputs."""
    scores, baseline = (group.greedy_per_input(metric.name) for group in (first, second))
    if scores is None or baseline is None or len(scores) != len(baseline):
        return None
    return paired_bootstrap(scores, baseline)


def _difference_cell(difference: Interval | None, metric: Metric) -> str:
    if difference is None:
        return NOTHING
    form = f"+{metric.form}"
    return f"{difference.mean:{form}} [{difference.low:{form}}, {difference.high:{form}}]"
