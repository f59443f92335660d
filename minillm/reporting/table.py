"""Results as text: a csv with one row for each run, and Markdown to read.

Pure functions from results (or groups of them) to strings; `report.py` writes them.
"""

import csv
import io
from collections.abc import Sequence
from statistics import stdev

from minillm.evaluation.statistics import paired_bootstrap
from minillm.reporting.groups import OURS, TEACHER, Group, unique, value_at

# Columns of the csv, and the key of a result that each shows.
CSV_COLUMNS = {
    "data": "data",
    "method": "method",
    "model": "model",
    "parameters": "parameters",
    "rougeL_mean": "rougeL.mean",
    "rougeL_std": "rougeL.std",
    "ci_low": "rougeL.ci_low",
    "ci_high": "rougeL.ci_high",
    "greedy_rougeL": "greedy.rougeL",
    "length": "length",
    "reverse_kl": "reverse_kl",
    "train_seconds": "training.seconds",
    "training_seeds": "training.seed",
    "inputs": "inputs",
    "unfinished": "unfinished",
    "empty": "empty",
    "run": "run.name",
}
_NOTHING = "–"


def csv_table(results: Sequence[dict]) -> str:
    """One row for each result; cells are empty where a result has no such value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerows([value_at(result, key) for key in CSV_COLUMNS.values()] for result in results)
    return text.getvalue()


def markdown_table(groups: Sequence[Group]) -> str:
    """Scores of every group with a legend; the best student of each data set is bold."""
    header = ["data", "method", "model", "parameters", "ROUGE-L", "greedy", "length", "reverse KL"]
    header.append("training (s)")
    rows = []
    for group in groups:
        rivals = [g for g in groups if g.data == group.data and g.method != TEACHER]
        is_best = group in rivals and _score(group) == max(map(_score, rivals))
        score = _score_cell(group)
        rows.append(
            [
                group.data,
                group.label,
                group.model,
                _count(group.mean("parameters")),
                f"**{score}**" if is_best else score,
                _number(group.mean("greedy.rougeL"), ".1f"),
                _number(group.mean("length"), ".1f"),
                _number(group.mean("reverse_kl"), ".3f"),
                _number(group.mean("training.seconds"), ",.0f"),
            ]
        )
    return f"{_align(header, rows, texts=3)}\n\n{_legend(groups)}"


def differences_table(groups: Sequence[Group]) -> str | None:
    """MiniLLM minus every other method on the same inputs; None where there is nothing to compare.

    Of several MiniLLM models, each is compared with methods of its own model and with the teacher.
    """
    rows, skipped = [], []
    for ours in (group for group in groups if group.method == OURS):
        same_data = [group for group in groups if group.data == ours.data]
        is_alone = sum(group.method == OURS for group in same_data) == 1
        for other in same_data:
            if other.method == OURS:
                continue
            if not (is_alone or other.model == ours.model or other.method == TEACHER):
                continue
            scores, baseline = ours.per_input(), other.per_input()
            name = f"{ours.label} minus {other.label}"
            if scores is None or baseline is None or len(scores) != len(baseline):
                skipped.append(f"{name} ({ours.data})")
                continue
            difference = paired_bootstrap(scores, baseline)
            cell = f"{difference.mean:+.1f} [{difference.low:+.1f}, {difference.high:+.1f}]"
            rows.append([ours.data, name, cell])
    if not rows and not skipped:
        return None
    legend = (
        "Difference in ROUGE-L with its 95% paired bootstrap interval over inputs; each input's "
        "score is averaged over sampling seeds and training runs."
    )
    if skipped:
        legend += f" Not scored on the same inputs, so not compared: {_escape(', '.join(skipped))}."
    if not rows:
        return legend
    return f"{_align(['data', 'methods', 'difference'], rows, texts=2)}\n\n{legend}"


def provenance(results: Sequence[dict]) -> str:
    """How, where and when the results were made, as a Markdown list."""

    def of(key: str) -> list:
        return unique(value_at(result, f"provenance.{key}") for result in results)

    revisions = unique(
        f"{value_at(r, 'provenance.git_revision') or 'unknown'}"
        + (" with uncommitted changes" if value_at(r, "provenance.git_dirty") else "")
        for r in results
    )
    versions = {}
    for result in results:
        for name, version in (value_at(result, "provenance.versions") or {}).items():
            versions.setdefault(name, []).append(version)
    dates = sorted(map(str, of("date")))
    lines = [
        ("git revision", ", ".join(revisions)),
        ("machine", "; ".join(map(str, of("machine")))),
        ("versions", ", ".join(f"{k} {' and '.join(unique(v))}" for k, v in versions.items())),
        ("sampling seeds", _list(seed for result in results for seed in result["seeds"])),
        ("training seeds", _list(value_at(result, "training.seed") for result in results)),
        ("date", " to ".join(unique([dates[0], dates[-1]])) if dates else ""),
    ]
    text = "".join(f"- {name}: {_escape(value) or 'unknown'}\n" for name, value in lines)
    commands = [f"  - `{' '.join(str(command).split())}`\n" for command in of("command")]
    return f"{text}- commands:{''.join([chr(10), *commands]) if commands else ' unknown'}".rstrip()


def _score(group: Group) -> float:
    """ROUGE-L as the table shows it, so that equal cells are equally good."""
    return round(group.mean("rougeL.mean"), 1)


def _score_cell(group: Group) -> str:
    """One run: mean and interval. Several: mean and deviation over training runs."""
    if len(group.results) == 1:
        interval = group.interval()
        return f"{interval.mean:.1f} [{interval.low:.1f}, {interval.high:.1f}]"
    deviation = stdev(value_at(result, "rougeL.mean") for result in group.results)
    return f"{group.mean('rougeL.mean'):.1f} ± {deviation:.1f} ({len(group.results)} runs)"


def _legend(groups: Sequence[Group]) -> str:
    """What the columns mean, with units, inputs and seeds."""
    results = [result for group in groups for result in group.results]
    inputs = {}
    for result in results:
        inputs.setdefault(result["data"], []).append(result["inputs"])
    seeds = unique(len(result["seeds"]) for result in results)
    temperatures = unique(result["temperature"] for result in results)
    sentences = [
        f"ROUGE-L (0 to 100): mean over {_either(seeds)} sampling seeds at temperature "
        f"{_either(temperatures)}, with its 95% bootstrap interval over inputs",
        "Bold: best student of a data set",
        "Greedy: ROUGE-L of greedy decoding",
        "Length: mean tokens of a response",
        "Reverse KL: from the teacher, nats per token",
        "Training (s): wall time of training",
        "Inputs: " + ", ".join(f"{data} {_either(unique(n))}" for data, n in inputs.items()),
    ]
    if any(len(group.results) > 1 for group in groups):
        several = "; of several training runs, mean ± standard deviation over the runs"
        sentences[0] += several + " (other columns: their mean)"
    return _escape(". ".join(sentences)) + "."


def _align(header: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> str:
    """A Markdown table of padded cells: the first `texts` columns left, the others right."""
    cells = [[_escape(cell) for cell in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * w if i < texts else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    padded = [
        [
            c.ljust(w) if i < texts else c.rjust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        for row in cells
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in [padded[0], rule, *padded[1:]])


def _escape(text: str) -> str:
    """Text on one line that ends no table cell."""
    return " ".join(text.split()).replace("|", "\\|")


def _number(value: float | None, form: str) -> str:
    return _NOTHING if value is None else format(value, form)


def _count(value: float | None) -> str:
    """A number of parameters with 3 digits: 241k, 1.56B."""
    if value is None:
        return _NOTHING
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{float(f'{value / size:.3g}'):g}{unit}"
    return f"{value:.0f}"


def _either(values: Sequence) -> str:
    return " or ".join(f"{value:g}" for value in values)


def _list(values) -> str:
    return ", ".join(map(str, sorted(unique(values))))
