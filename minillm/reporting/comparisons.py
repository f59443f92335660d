"""Differences of two methods on the same inputs, with corrected p-values, as cells and as csv."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

from minillm.evaluation.metrics import Metric
from minillm.evaluation.significance import TEST_RESAMPLES, holm
from minillm.evaluation.statistics import Interval
from minillm.reporting.groups import Group
from minillm.reporting.markdown import NOTHING

SAMPLED, GREEDY, AT_DIVERSITY = "sampled", "greedy", "equal diversity"
P_HEADER = "p, corrected"
P_TEST = "a paired permutation test over inputs"
P_BOOTSTRAP = f"{TEST_RESAMPLES:,} resamples of the inputs"
DECIMALS = 6  # of differences.csv


@dataclass(frozen=True)
class Comparison:
    """The first method minus the second in one metric, on the same inputs.

    Attributes:
        first, second: the methods on one data set.
        metric: whose means are compared.
        responses: `sampled`, `greedy`, or `equal diversity`.
        difference: with its 95% paired bootstrap interval; None if values of the same inputs are
            missing.
        p: two-sided p-value of this comparison alone; None without a difference.
        corrected: p corrected for all comparisons of its table.
        diversity: at which the methods are compared; None unless `responses` is `equal diversity`.
    """

    first: Group
    second: Group
    metric: Metric
    responses: str
    difference: Interval | None
    p: float | None
    corrected: float | None = None
    diversity: float | None = None

    @property
    def name(self) -> str:
        return f"{self.first.label} minus {self.second.label}"


def with_correction(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons of one table with the correction of Holm for all of them."""
    corrected = iter(holm([each.p for each in comparisons if each.p is not None]))
    return [
        each if each.p is None else replace(each, corrected=next(corrected))
        for each in comparisons
    ]  # fmt: skip


def p_legend(source: str, comparisons: int) -> str:
    """What the column of p-values means.

    Args:
        source: `P_TEST` or `P_BOOTSTRAP`.
        comparisons: their number in the table.
    """
    of_all = f", corrected for all {comparisons} comparisons of this table (Holm)"
    text = (
        f"{P_HEADER}: two-sided p-value of the difference, from {source}"
        f"{of_all if comparisons > 1 else ''}. It does not include the randomness of the training."
    )
    smallest = comparisons * (1 if source == P_TEST else 2) / (1 + TEST_RESAMPLES)
    if smallest < 0.001:  # a cell does not show it
        return text
    return f"{text} {TEST_RESAMPLES:,} resamples give no value below {p_text(smallest)}."


def difference_cells(comparison: Comparison | None) -> list[str]:
    """The difference with its interval, and its corrected p-value."""
    if comparison is None or comparison.difference is None:
        return [NOTHING, NOTHING]
    return [interval_text(comparison.difference, comparison.metric), p_text(comparison.corrected)]


def interval_text(interval: Interval, metric: Metric) -> str:
    """Such as `+1.2 [+0.8, +1.6]`."""
    form = f"+{metric.form}"
    return f"{interval.mean:{form}} [{interval.low:{form}}, {interval.high:{form}}]"


def p_text(p: float | None) -> str:
    """Such as `0.012`, or `<0.001`."""
    if p is None:
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def differences_csv(comparisons: Sequence[Comparison]) -> str:
    """A csv with one row per comparison.

    Figures have `DECIMALS` digits after the point: the digits of float64 beyond them depend on the
    processor.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["data", "method", "minus", "metric", "responses", "diversity", "difference", "ci_low",
         "ci_high", "p", "p_corrected"]
    )  # fmt: skip
    writer.writerows(
        [each.first.data, each.first.label, each.second.label, each.metric.name, each.responses,
         each.diversity,
         *map(rounded, (each.difference.mean, each.difference.low, each.difference.high, each.p,
                        each.corrected))]
        for each in comparisons
        if each.difference is not None
    )  # fmt: skip
    return text.getvalue()


def rounded(value: float | None) -> float | None:
    """`value` with `DECIMALS` digits after the point, and 0.0 for -0.0."""
    return None if value is None else round(value, DECIMALS) + 0.0
