"""Paired differences between MiniLLM and the other models, with p-values; not in the paper."""

from collections.abc import Sequence

from minillm.evaluation.equal_diversity import difference_p_values, differences_at
from minillm.evaluation.metrics import METRICS
from minillm.evaluation.result import ROUGE_L
from minillm.reporting.comparisons import (
    AT_DIVERSITY,
    GREEDY,
    P_BOOTSTRAP,
    P_HEADER,
    P_TEST,
    SAMPLED,
    Comparison,
    p_text,
    with_correction,
)
from minillm.reporting.differences import compare_values, greedy_values
from minillm.reporting.frontiers import curve_of, samples_of
from minillm.reporting.groups import Group
from minillm.reporting.paper.layout import (
    Column,
    Row,
    Table,
    in_sentences,
    interval_column,
    number_column,
    text_column,
)
from minillm.reporting.paper.models import MINILLM, Scored
from minillm.reporting.paper.scores import DATA_SETS, common_diversity, data_column, setting_text

_METRIC = METRICS[ROUGE_L]
# The beginnings of the names of the columns, by responses.
_PREFIXES = {SAMPLED: "", GREEDY: "greedy_", AT_DIVERSITY: "equal_diversity_"}


def differences(scored: Sequence[Scored]) -> Table | None:
    """MiniLLM minus each other student of the same size, and minus the teachers of the family.

    One row per pair and data set, with ROUGE-L at temperature 1, greedy, and at equal diversity.
    None if there are no such pairs.
    """
    pairs = _pairs(scored)
    made = [_comparisons(first.group, second.group) for first, second in pairs]
    corrected = iter(with_correction([comparison for row in made for comparison in row]))
    rows: list[Row] = []
    for (first, second), comparisons in zip(pairs, made, strict=True):
        teacher = f"{second.model.size} " if second.model.is_teacher else ""
        row = {
            "family": first.model.family, "data": first.data, "size": first.model.size,
            "methods": f"{first.model.name} minus {teacher}{second.model.name}",
        }  # fmt: skip
        for _ in comparisons:
            row |= _values(next(corrected))
        if any(row.get(f"{prefix}difference") is not None for prefix in _PREFIXES.values()):
            rows.append(row)
    if not rows:
        return None
    count = sum(row.get(f"{prefix}p") is not None for row in rows for prefix in _PREFIXES.values())
    caption = in_sentences(
        ["ROUGE-L (0 to 100) of MiniLLM minus that of another model on the same inputs, "
         + setting_text([each.group for pair in pairs for each in pair]),
         "95% interval: paired bootstrap over inputs; the scores of an input are averaged over "
         "sampling seeds and training runs",
         "Equal diversity: at the diversity after `at`, which both models have",
         f"{P_HEADER}: two-sided p-value from {P_TEST}, and at equal diversity from {P_BOOTSTRAP}, "
         f"corrected for all {count} comparisons of this table (Holm); it does not include the "
         f"randomness of the training",
         "The paper has no such table"]
    )  # fmt: skip
    columns = [text_column("family"), data_column(), text_column("size"), text_column("methods"),
               *_columns("", "temperature 1"), *_columns("greedy_", "greedy"),
               Column("at", _diversity, is_optional=True),
               *_columns("equal_diversity_", "equal diversity")]  # fmt: skip
    return Table("differences", "Differences to MiniLLM", caption, columns, rows)


def _pairs(scored: Sequence[Scored]) -> list[tuple[Scored, Scored]]:
    """MiniLLM of the paper, and each model to compare with it, by family, size and data set."""
    chosen = [each for each in scored
              if each.data in DATA_SETS and each.group.score(ROUGE_L) is not None]  # fmt: skip
    first: dict[tuple, Scored] = {}
    for each in chosen:
        if each.model.method == MINILLM and each.model.is_as_in_paper:
            first.setdefault((each.model.family, each.model.size, each.data), each)
    return [
        (reference, each)
        for (family, size, data), reference in first.items()
        for each in chosen
        if each is not reference and (each.model.family, each.data) == (family, data)
        and (each.model.is_teacher or each.model.size == size)
    ]  # fmt: skip


def _comparisons(first: Group, second: Group) -> list[Comparison]:
    """The comparisons of a pair for which the results have the values of the same inputs."""
    groups = (first, second)
    made = [
        compare_values(*groups, _METRIC, SAMPLED, *(each.per_input(ROUGE_L) for each in groups)),
        compare_values(*groups, _METRIC, GREEDY, *(greedy_values(g, _METRIC) for g in groups)),
        _at_equal_diversity(*groups),
    ]
    return [each for each in made if each is not None and each.difference is not None]


def _at_equal_diversity(first: Group, second: Group) -> Comparison | None:
    curves = [curve_of(group, ROUGE_L) for group in (first, second)]
    if None in curves or samples_of(first) != samples_of(second):
        return None
    diversity = common_diversity(curves)
    if diversity is None or len({curve.quality.shape[1] for curve in curves}) > 1:
        return None
    (difference,), (p,) = (
        compute(*curves, [diversity]) for compute in (differences_at, difference_p_values)
    )
    return difference and Comparison(
        first, second, _METRIC, AT_DIVERSITY, difference, p, diversity=diversity
    )


def _values(comparison: Comparison) -> Row:
    prefix, difference = _PREFIXES[comparison.responses], comparison.difference
    values = {
        "difference": difference.mean, "ci_low": difference.low, "ci_high": difference.high,
        "p": comparison.p, "p_corrected": comparison.corrected,
    }  # fmt: skip
    row = {f"{prefix}{name}": value for name, value in values.items()}
    return row if comparison.diversity is None else row | {"diversity": comparison.diversity}


def _columns(prefix: str, label: str) -> list[Column]:
    """The difference, its interval and its p-value; left out if no pair has them."""

    def p_cell(row: Row) -> str:
        p = row.get(f"{prefix}p_corrected")
        return "" if p is None else p_text(p)

    form = _METRIC.form
    return [
        number_column(f"{prefix}difference", label, f"+{form}", is_optional=True),
        interval_column(f"{prefix}ci_low", f"{prefix}ci_high", "95% interval", f"+{form}",
                        is_optional=True),
        Column(P_HEADER, p_cell, is_optional=True),
    ]  # fmt: skip


def _diversity(row: Row) -> str:
    return "" if row.get("diversity") is None else f"{row['diversity']:g}"
