"""The scores of one evaluation as a short text for the terminal."""

from tabulate import tabulate

from minillm.evaluation.exposure import ExposureBias, shown_lengths
from minillm.evaluation.frontier import DIVERSITY, MEASURES, FrontierPoint
from minillm.evaluation.metrics import METRICS
from minillm.evaluation.result import ROUGE_L, MetricResult, Result


def score_text(result: Result, form: str = "simple") -> str:
    """A heading, a table of all metrics, and tables of frontier and exposure bias if they exist.

    `form` is a table format of `tabulate`, such as `pipe` for Markdown.

    The 95% bootstrap interval is over the inputs.
    """
    seeds = "1 seed" if len(result.seeds) == 1 else f"{len(result.seeds)} seeds"
    heading = (
        f"{result.method} on {result.data}: {result.inputs} inputs, {seeds} at temperature "
        f"{result.temperature:g}"
    )
    rows = [
        _score_row(name, metric) for name, metric in result.metrics.items() if metric is not None
    ]
    tables = [_table(["metric", "mean", "95% interval", "greedy", "unit"], rows, form)]
    if result.frontier:
        names = [
            name for name in (DIVERSITY, ROUGE_L) if result.frontier.points[0].values.get(name)
        ]
        labels = [_described(name).label for name in names]
        rows = [_point_row(point, names) for point in result.frontier.points]
        tables.append(_table(["frontier", *labels], rows, form))
    if result.exposure_bias:
        tables.append(_table(["length", "ExAccErr (%)", "95% interval"],
                             _exposure_rows(result.exposure_bias), form))  # fmt: skip
    return "\n\n".join([heading, *tables])


def _score_row(name: str, metric: MetricResult) -> list[str]:
    form = METRICS[name].form
    interval = "" if metric.ci_low is None else f"{metric.ci_low:{form}} to {metric.ci_high:{form}}"
    greedy = "" if metric.greedy is None else f"{metric.greedy:{form}}"
    return [METRICS[name].label, f"{metric.mean:{form}}", interval, greedy, METRICS[name].unit]


def _point_row(point: FrontierPoint, names: list[str]) -> list[str]:
    way = f"temperature {point.temperature:g}" if point.top_p == 1 else f"top-p {point.top_p:g}"
    values = [f"{point.mean(name):{_described(name).form}}" for name in names]
    return ["greedy" if point.is_greedy else way, *values]


def _exposure_rows(bias: ExposureBias) -> list[list[str]]:
    rows = []
    for length in shown_lengths(bias):
        values = (bias.excess_error, bias.ci_low, bias.ci_high)
        at_length = (numbers[length - 1] for numbers in values)
        # Adding 0 turns -0.0 into 0.0.
        excess, low, high = ("–" if x is None else f"{round(x, 1) + 0:.1f}" for x in at_length)
        rows.append([str(length), excess, f"{low} to {high}"])
    return rows


def _described(name: str):
    """The `Metric` or the `Measure` of this name."""
    return METRICS[name] if name in METRICS else MEASURES[name]


def _table(header: list[str], rows: list[list[str]], form: str) -> str:
    """A table without its empty columns."""
    used = [i for i in range(len(header)) if any(row[i] for row in rows)]
    header, rows = [header[i] for i in used], [[row[i] for i in used] for row in rows]
    align = ["left" if name in ("metric", "frontier", "unit") else "right" for name in header]
    return tabulate(rows, header, tablefmt=form, colalign=align, disable_numparse=True)
