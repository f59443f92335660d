"""The frontiers of all methods as Markdown: points, differences at equal diversity, sharpening."""

from collections.abc import Sequence

from minillm.evaluation.frontier import (
    DIVERSITY,
    ENTROPY,
    FORWARD_KL,
    MEASURES,
    REVERSE_KL,
    SELF_BLEU,
    WITH_INPUTS,
    Measure,
)
from minillm.evaluation.metrics import METRICS, Metric
from minillm.evaluation.statistics import Interval
from minillm.reporting.comparisons import Comparison
from minillm.reporting.frontier_differences import differences_text
from minillm.reporting.frontiers import (
    GroupPoint,
    intervals_of,
    points_of,
    samples_of,
    why_left_out,
    without_ngrams,
)
from minillm.reporting.groups import Group, unique
from minillm.reporting.markdown import NOTHING, escape, in_words, table

_MANY_WITHOUT_NGRAMS = 0.05  # from this share of inputs on, the legend reports it


def frontier_text(
    groups: Sequence[Group],
    metric: Metric,
    reference: str | None,
    diversities: Sequence[float] | None,
) -> tuple[str, list[Comparison]]:
    """The tables of a report about frontiers, with headings and legends, and their comparisons.

    Args:
        groups: with a frontier or without.
        metric: the quality.
        reference: the method to compare with all others.
        diversities: at which methods are compared; None for round numbers that all methods have.

    Raises:
        InputError: no two methods have one of the diversities.
    """
    parts, comparisons = differences_text(groups, metric, reference, diversities)
    parts = ["## Quality and diversity", points_table(groups, metric), *parts]
    return "\n\n".join(parts), comparisons


def points_table(groups: Sequence[Group], metric: Metric) -> str:
    """One row per method and temperature, with a legend.

    Diversity, self-BLEU and the metric have intervals where the results have the values of the
    inputs.
    """
    names = [DIVERSITY, metric.name, "length", SELF_BLEU, ENTROPY, REVERSE_KL, FORWARD_KL]
    with_interval = (DIVERSITY, metric.name, SELF_BLEU)
    rows, known = [], set()
    for group in groups:
        intervals = intervals_of(group, with_interval)
        known |= {name for (_, name), interval in intervals.items() if interval}
        rows += [(group, point, intervals) for point in points_of(group)]
    names = [name for name in unique(names) if any(name in point.values for _, point, _ in rows)]
    described = {name: MEASURES.get(name) or METRICS[name] for name in names}
    cells = [
        [group.data, group.label, decoding_name(point)]
        + [_cell(point, name, intervals, measure.form) for name, measure in described.items()]
        for group, point, intervals in rows
    ]
    header = ["data", "method", "decoding", *(m.label for m in described.values())]
    samples = unique(samples_of(group) for group in groups)
    count = in_words(map(str, samples))
    legend = [f"Means over {count} responses to each prompt, at temperature 1 too"]
    legend += _intervals_legend([name for name in with_interval if name in known], described)
    legend += [f"{m.label[:1].upper()}{m.label[1:]}: {m.description}" for m in described.values()]
    if len(samples) > 1:
        legend.append("Methods with different numbers of responses are not compared")
    left_out = [f"{group.label} ({group.data}: {reason})" for group in groups
                if (reason := why_left_out(group))]  # fmt: skip
    if left_out:
        legend.append(f"Left out: {in_words(left_out)}")
    shares = {f"{group.label} ({group.data})": without_ngrams(group) for group in groups}
    few = [f"{share:.0%} of the inputs of {name}" for name, share in shares.items()
           if share > _MANY_WITHOUT_NGRAMS]  # fmt: skip
    if few:
        legend.append(
            f"No 4-grams, because all responses to the input have fewer than four words (at the "
            f"point with the most such inputs): {in_words(few)}. These inputs count in all values "
            f"except the diversity"
        )
    return f"{table(header, cells, texts=3)}\n\n{escape('. '.join(legend))}."


def _cell(point: GroupPoint, name: str, intervals: dict[tuple, Interval | None], form: str) -> str:
    """The value of a point, with its interval if it is known."""
    if name not in point.values:
        return NOTHING
    interval = intervals.get((point.position, name))
    text = format(point.values[name], form)
    return f"{text} [{interval.low:{form}}, {interval.high:{form}}]" if interval else text


def _intervals_legend(known: Sequence[str], described: dict[str, Measure | Metric]) -> list[str]:
    """Which values have intervals, and why the others do not."""
    if not known:
        return []
    legend = [
        f"Brackets: 95% bootstrap intervals over inputs of "
        f"{in_words(described[name].label for name in known)}; the values of each input are "
        f"averaged over the training runs"
    ]
    means = [measure.label for name, measure in described.items()
             if name not in (*known, *WITH_INPUTS)]  # fmt: skip
    if SELF_BLEU in described and SELF_BLEU not in known:
        means.insert(0, f"{described[SELF_BLEU].label} (in older results)")
    if means:
        legend.append(
            f"No intervals of {in_words(means)}, because the results have only means of these"
        )
    others = [measure.label for name, measure in described.items()
              if name in WITH_INPUTS and name not in (*known, SELF_BLEU)]  # fmt: skip
    if others:
        legend.append(f"Those of {in_words(others)} are left out, so that the table is narrow")
    return legend


def decoding_name(point: GroupPoint) -> str:
    """Such as `temperature 0.7`."""
    if point.is_greedy:
        return "greedy"
    return f"top-p {point.top_p:g}" if point.uses_top_p else f"temperature {point.temperature:g}"
