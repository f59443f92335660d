"""Results as text: a csv with one row per run, and a Markdown table.

Pure functions from results, or groups of results, to strings. `report.py` writes the strings.
"""

import csv
import io
from collections.abc import Callable, Sequence
from statistics import stdev

from minillm.evaluation.judge_metric import JUDGE
from minillm.evaluation.metrics import METRICS, Metric
from minillm.evaluation.result import Result
from minillm.reporting.groups import Group, is_student, unique
from minillm.reporting.judges import judge_text
from minillm.reporting.markdown import NOTHING, escape, in_words, table


def csv_columns(results: Sequence[Result]) -> dict[str, Callable[[Result], object]]:
    """The columns of the csv, each with a function from a result to the value in the column.

    Every metric of the results has the columns `METRIC_mean` to `METRIC_greedy`. A column is left
    out if no result has a value for it.
    """
    names = unique(name for result in results for name in result.metrics)
    names = [name for name in METRICS if name in names] + [n for n in names if n not in METRICS]
    columns = {
        "data": lambda result: result.data,
        "method": lambda result: result.method,
        "model": lambda result: result.model,
        "parameters": lambda result: result.parameters,
    }
    for name in names:
        for part in ("mean", "std", "ci_low", "ci_high", "greedy"):
            value = _part_of(name, part)
            if any(value(result) is not None for result in results):
                columns[f"{name}_{part}"] = value
    return columns | {
        "train_seconds": _training_seconds,
        "training_seeds": lambda result: result.training_seed,
        "inputs": lambda result: result.inputs,
        "run": lambda result: result.run_name,
    }


def _part_of(name: str, part: str) -> Callable[[Result], float | None]:
    return lambda result: result.metric(name) and getattr(result.metric(name), part)


def csv_table(results: Sequence[Result]) -> str:
    """A csv with one row per result. A cell is empty if the result has no value for it."""
    columns = csv_columns(results)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([value(result) for value in columns.values()] for result in results)
    return text.getvalue()


def markdown_table(groups: Sequence[Group], metrics: Sequence[Metric]) -> str:
    """Scores of every group with a legend.

    Each of `metrics` has a column with its interval or its deviation over training runs, and a
    column for greedy decoding if a result has it. For each metric with a direction, the best
    student of each data set is bold. The last columns are the metrics that are always shown.
    """
    shown = _always_shown(metrics)
    columns = {
        "data": [group.data for group in groups],
        "method": [group.label for group in groups],
        "model": [group.model for group in groups],
        "parameters": [size_text(group.mean(lambda result: result.parameters)) for group in groups],
    }
    for metric in metrics:
        columns[metric.label] = _score_cells(groups, metric)
        if _has_greedy(groups, metric):
            cells = [_number(group.greedy(metric.name), metric.form) for group in groups]
            columns["greedy" if len(metrics) == 1 else f"{metric.label}, greedy"] = cells
    for metric in shown:
        columns[metric.label] = [_number(group.score(metric.name), metric.form) for group in groups]
    columns["training (s)"] = [_number(group.mean(_training_seconds), ",.0f") for group in groups]
    rows = list(zip(*columns.values(), strict=True))
    return f"{table(list(columns), rows, texts=3)}\n\n{_legend(groups, metrics)}"


def provenance(results: Sequence[Result]) -> str:
    """How, where and when the results were made, as a Markdown list."""

    def values_of(key: str) -> list:
        return unique(result.provenance.get(key) for result in results)

    revisions = unique(
        f"{result.provenance.get('git_revision') or 'unknown'}"
        + (" with uncommitted changes" if result.provenance.get("git_dirty") else "")
        for result in results
    )
    versions = {}
    for result in results:
        for name, version in (result.provenance.get("versions") or {}).items():
            versions.setdefault(name, []).append(version)
    dates = sorted(map(str, values_of("date")))
    lines = [
        ("git revision", ", ".join(revisions)),
        ("machine", "; ".join(map(str, values_of("machine")))),
        ("versions", ", ".join(f"{k} {' and '.join(unique(v))}" for k, v in versions.items())),
        ("sampling seeds", _list(seed for result in results for seed in result.seeds)),
        ("training seeds", _list(result.training_seed for result in results)),
        ("date", " to ".join(unique([dates[0], dates[-1]])) if dates else ""),
    ]
    text = "".join(f"- {name}: {escape(value) or 'unknown'}\n" for name, value in lines)
    commands = [f"  - `{' '.join(str(command).split())}`\n" for command in values_of("command")]
    return f"{text}- commands:{''.join([chr(10), *commands]) if commands else ' unknown'}".rstrip()


def _score_cells(groups: Sequence[Group], metric: Metric) -> list[str]:
    """The metric's cell of each group. The cell of the best student of a data set is bold."""
    cells = [_score_cell(group, metric) for group in groups]
    if metric.higher_is_better is None:
        return cells
    sign = 1 if metric.higher_is_better else -1
    # Scores are compared as the table shows them, so that equal cells count as equal.
    scores = [
        None if (score := group.score(metric.name)) is None or not is_student(group)
        else sign * float(format(score, metric.form))
        for group in groups
    ]  # fmt: skip
    best = {}
    for group, score in zip(groups, scores, strict=True):
        if score is not None:
            best[group.data] = max(score, best.get(group.data, score))
    return [
        f"**{cell}**" if score is not None and score == best[group.data] else cell
        for group, score, cell in zip(groups, scores, cells, strict=True)
    ]


def _score_cell(group: Group, metric: Metric) -> str:
    """Mean and interval of one run, or mean and standard deviation over several training runs."""
    runs, form = group.runs(metric.name), metric.form
    if runs is None:
        return NOTHING
    if len(runs) > 1:
        deviation = stdev(run.mean for run in runs)
        return f"{group.score(metric.name):{form}} ± {deviation:{form}} ({len(runs)} runs)"
    interval = group.interval(metric.name)
    if interval is None:
        return _number(group.score(metric.name), form)
    return f"{interval.mean:{form}} [{interval.low:{form}}, {interval.high:{form}}]"


def _legend(groups: Sequence[Group], metrics: Sequence[Metric]) -> str:
    """The meaning of the columns, with units, inputs, seeds and judge.

    Raises:
        InputError: the scores of a judge cannot be compared; see `judge_text`.
    """
    results = [result for group in groups for result in group.results]
    inputs = {}
    for result in results:
        inputs.setdefault(result.data, []).append(result.inputs)
    seeds = _either(unique(_seeds(result, metric) for metric in metrics for result in results))
    temperatures = _either(unique(result.temperature for result in results))
    first_sentence = (
        f"{in_words(metric.axis_label for metric in metrics)}: mean over "
        f"{seeds} sampling seeds at temperature {temperatures}, with the 95% bootstrap interval "
        "over inputs"
    )
    if any(len(group.results) > 1 for group in groups):
        first_sentence += "; for several training runs, mean ± standard deviation over the runs"
        first_sentence += " (other columns: mean over the runs)"
    sentences = [_capital(first_sentence)]
    sentences += [
        f"{_capital(m.label)}: {m.description}" for m in (*metrics, *_always_shown(metrics))
    ]
    if any(metric.name == JUDGE for metric in metrics):
        sentences += filter(None, [judge_text(results)])
    if any(metric.higher_is_better is not None for metric in metrics):
        lower = [metric.label for metric in metrics if metric.higher_is_better is False]
        sentences.append("Bold: best student of a data set"
                         + (f" ({in_words(lower)}: the lowest)" if lower else ""))  # fmt: skip
    starts = _starts(groups)
    if starts:
        sentences.append(
            f"{in_words(starts)}: no checkpoint was better than the start of the training, so the "
            f"scores are those of the start"
        )
    seen = _seen_in_training(groups)
    if seen:
        sentences.append(f"Test inputs that occur in the training data: {in_words(seen)}")
    decoded = [metric.label for metric in metrics if _has_greedy(groups, metric)]
    if decoded:
        sentences.append(f"Greedy: {in_words(decoded)} of greedy decoding")
    sentences.append("Training (s): wall time of training")
    counts = ", ".join(f"{data} {_either(unique(n))}" for data, n in inputs.items())
    sentences.append(f"Inputs: {counts}")
    return escape(". ".join(sentences)) + "."


def _seeds(result: Result, metric: Metric) -> int | None:
    """Number of sampling seeds of a metric; None if the result lacks it. A judge may read fewer."""
    values = result.metric(metric.name)
    return values and (len(values.per_seed) or len(result.seeds))


def _starts(groups: Sequence[Group]) -> list[str]:
    """The labels of the groups whose best checkpoint is the start, in all runs or in some."""
    labels = []
    for group in groups:
        trainings = [result.training for result in group.results if result.training]
        count = sum(training.best_step == 0 for training in trainings)
        if count:
            share = f" ({count} of {len(group.results)} runs)" if len(group.results) > 1 else ""
            labels.append(f"{_label_and_data(group, groups)}{share}")
    return labels


def _seen_in_training(groups: Sequence[Group]) -> list[str]:
    """For each group with such test inputs: its label and their number, the largest of its runs."""
    counts = [max(result.seen_in_training or 0 for result in group.results) for group in groups]
    return [
        f"{count} ({_label_and_data(group, groups)})"
        for group, count in zip(groups, counts, strict=True)
        if count
    ]


def _label_and_data(group: Group, groups: Sequence[Group]) -> str:
    """The label of a group, with its data set if there are several."""
    has_many_data_sets = len(unique(each.data for each in groups)) > 1
    return f"{group.label} on {group.data}" if has_many_data_sets else group.label


def _always_shown(metrics: Sequence[Metric]) -> list[Metric]:
    """The metrics that a table shows in addition to `metrics`."""
    return [metric for metric in METRICS.values() if metric.always_shown and metric not in metrics]


def _has_greedy(groups: Sequence[Group], metric: Metric) -> bool:
    return any(group.greedy(metric.name) is not None for group in groups)


def _training_seconds(result: Result) -> float | None:
    return result.training.seconds if result.training else None


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)


def size_text(value: float | None) -> str:
    """A number of parameters with 3 digits: 241k, 1.56B."""
    if value is None:
        return NOTHING
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{float(f'{value / size:.3g}'):g}{unit}"
    return f"{value:.0f}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _either(values: Sequence) -> str:
    return " or ".join(f"{value:g}" for value in values)


def _list(values) -> str:
    return ", ".join(map(str, sorted(unique(values))))
