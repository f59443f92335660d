"""The report of a set of results: tables, figures, and one file with all results.

    write_report([Path("runs")], Path("results/e2e"))

writes table.md, table.csv, differences.csv (if methods can be compared), a figure of each chosen
metric (rouge_l.png), training.png (if a run has a history), frontier.png (if a result has a
frontier) and results.json. The other files are made from results.json alone, so a report can be
made again without its runs:
`write_report([Path("results/e2e")], Path("results/e2e"))`.
`page=True` adds report.html: all of it in one file, with the responses if the runs are there.
"""

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

from minillm.errors import InputError, unknown_name
from minillm.evaluation.judge_metric import JUDGE
from minillm.evaluation.metrics import METRICS, Metric, check_metrics
from minillm.evaluation.result import ROUGE_L, Result
from minillm.evaluation.selection import validation_metrics
from minillm.files import check_writable, write_results
from minillm.reporting.comparisons import Comparison, differences_csv
from minillm.reporting.differences import compare, differences_table
from minillm.reporting.figures import metric_figure, training_figure
from minillm.reporting.frontier_figure import frontier_figure
from minillm.reporting.frontier_tables import frontier_text
from minillm.reporting.frontiers import points_of
from minillm.reporting.groups import Group, group_results, unique, usual_reference
from minillm.reporting.judges import win_rates_table
from minillm.reporting.look import png_of
from minillm.reporting.page.page import Part, html_page
from minillm.reporting.page.samples import collect_samples, sources_of
from minillm.reporting.results import MERGED_NAME, is_merged, load_results, merged_text
from minillm.reporting.table import csv_table, markdown_table, provenance

log = logging.getLogger(__name__)

TABLE = "table.md"
CSV = "table.csv"
DIFFERENCES = "differences.csv"
TRAINING_FIGURE = "training.png"
FRONTIER_FIGURE = "frontier.png"
PAGE = "report.html"
_FIGURE_LINK = re.compile(r"^!\[(\w+)\]\(\1\.png\)$", re.MULTILINE)
# The figures of older reports, whose table.md has no links to figures.
_FIGURES_WITHOUT_LINKS = ("rouge_l.png", TRAINING_FIGURE)


def write_report(
    paths: Sequence[Path],
    output: Path,
    *,
    title: str | None = None,
    metrics: Sequence[str] | None = None,
    curves: Sequence[str] | None = None,
    against: str | None = None,
    diversities: Sequence[float] | None = None,
    page: bool = False,
) -> str:
    """Write tables and figures of the results at `paths` into the folder `output`.

    The files of an earlier report in the folder are replaced. Its figures, its differences and its
    page are deleted if this report does not write them. Other files are not changed.

    Args:
        paths: result files, folders of runs, or earlier reports; see `load_results`.
        output: the folder, created if it does not exist.
        title: heading of table.md; "Results" by default.
        metrics: names of the metrics that tables and figures show with their intervals; None for
            ROUGE-L, and the scores of a judge if a result has them.
        curves: names of the validation scores in training.png; None for `metrics`, and the metrics
            with a direction that tables always show.
        against: the method to compare with all others; None for `usual_reference`.
        diversities: at which the frontiers of methods are compared; None for a few round numbers.
        page: whether report.html is written.

    Returns:
        The tables in Markdown: scores, differences, win rates of a judge, and frontiers.

    Raises:
        InputError: the results cannot be used, a name is unknown, no result has a metric, or
            `output` has files with the names of a report that no report wrote, or cannot be
            written. Then nothing is written.
        WriteError: a file could not be written. Then no file is changed.
    """
    output = Path(output)
    results = load_results(paths)
    chosen = _chosen_metrics(metrics or _usual_metrics(results), results)
    curve_metrics = _curve_metrics(curves, chosen)
    reference = _reference(against, results, chosen[0])
    figure_files = [figure_file(metric) for metric in chosen]
    earlier = _earlier_figures(
        output,
        [
            MERGED_NAME,
            TABLE,
            CSV,
            DIFFERENCES,
            *figure_files,
            TRAINING_FIGURE,
            FRONTIER_FIGURE,
            PAGE,
        ],
    )
    groups = group_results(results, reference)
    drawn = zip(figure_files, (metric_figure(groups, m) for m in chosen), strict=True)
    figures = {name: content for name, content in drawn if content}
    training = training_figure(groups, curve_metrics)
    if training:
        figures[TRAINING_FIGURE] = training
    tables, comparisons = _tables(groups, chosen, reference)
    frontier_groups, quality = _frontiers(groups, chosen, diversities)
    if quality:
        text, at_equal_diversity = frontier_text(groups, quality, reference, diversities)
        tables, comparisons = f"{tables}\n\n{text}", [*comparisons, *at_equal_diversity]
        figures[FRONTIER_FIGURE] = png_of(frontier_figure(frontier_groups, quality))
    links = "".join(f"![{name.removesuffix('.png')}]({name})\n\n" for name in figures)
    title, origin = title or "Results", provenance(results)
    text = f"# {title}\n\n{tables}\n\n{links}## Provenance\n\n{origin}\n"
    texts = {MERGED_NAME: merged_text(results), TABLE: text, CSV: csv_table(results)}
    if any(each.difference for each in comparisons):
        texts[DIFFERENCES] = differences_csv(comparisons)
    if page:
        samples = collect_samples(sources_of(paths, results))
        shown = [_part(name.removesuffix(".png"), content) for name, content in figures.items()]
        texts[PAGE] = html_page(title, [Part("scores", "", tables)], shown, origin, samples)
    contents = {name: content.encode() for name, content in texts.items()} | figures
    write_results({output / name: content for name, content in contents.items()})
    for name in {*earlier, *figure_files, DIFFERENCES, PAGE} - set(contents):
        (output / name).unlink(missing_ok=True)
    differences = f"{DIFFERENCES} (one row per comparison), " if DIFFERENCES in contents else ""
    log.info("written to %s: %s (these tables), %s (one row per run), %s%s (all results; a report "
             "can be made from this file), figures %s%s", output, TABLE, CSV, differences,
             MERGED_NAME, ", ".join(figures),
             f", {PAGE} (all in one page)" if page else "")  # fmt: skip
    return tables


def _part(name: str, png: bytes) -> Part:
    """A figure of the page."""
    return Part(name, name.replace("_", " "), "", png)


def figure_file(metric: Metric) -> str:
    """The name of a metric's figure, such as rouge_l.png of rougeL."""
    return re.sub("(?<=[a-z])(?=[A-Z])", "_", metric.name).lower() + ".png"


def _usual_metrics(results: Sequence[Result]) -> list[str]:
    """ROUGE-L, and the scores of a judge if a result has them."""
    return [ROUGE_L, *([JUDGE] if any(result.metric(JUDGE) for result in results) else [])]


def _chosen_metrics(names: Sequence[str], results: Sequence[Result]) -> list[Metric]:
    """The metrics with these names, without repetitions.

    Raises:
        InputError: a name is unknown, or no result has the metric.
    """
    check_metrics(names, "--metric")
    available = [name for name in METRICS if any(result.metric(name) for result in results)]
    for name in names:
        if name not in available:
            raise InputError(
                f"--metric {name}: no result has this metric. The results have "
                f"{', '.join(available)}. Name one of these metrics, or evaluate again with "
                f"evaluation.metrics=[{name}]."
            )
    return [METRICS[name] for name in unique(names)]


def _curve_metrics(names: Sequence[str] | None, chosen: Sequence[Metric]) -> list[Metric]:
    """The validation scores that training.png shows."""
    scores = validation_metrics()
    if names is None:
        shown = [m for m in METRICS.values() if m.always_shown and m.higher_is_better is not None]
        return unique([*chosen, *shown])
    for name in names:
        if name not in scores:
            raise unknown_name("--curve", name, scores)
    return [scores[name] for name in unique(names)]


def _reference(against: str | None, results: Sequence[Result], metric: Metric) -> str | None:
    """The method to compare with all others."""
    if against is None:
        return usual_reference(group_results(results), metric)
    methods = unique(result.method for result in results)
    if against not in methods:
        raise unknown_name("--against", against, methods)
    return against


def _tables(
    groups: Sequence[Group], metrics: Sequence[Metric], reference: str | None
) -> tuple[str, list[Comparison]]:
    """The tables of scores, of differences and of win rates, if there are any; the differences."""
    parts = [markdown_table(groups, metrics)]
    comparisons = compare(groups, metrics, reference)
    differences = differences_table(comparisons, metrics)
    if differences is not None:
        parts += [f"## {reference} against the others", differences]
    wins = win_rates_table(groups) if METRICS[JUDGE] in metrics else None
    if wins is not None:
        parts += ["## Win rates", wins]
    return "\n\n".join(parts), comparisons


def _frontiers(
    groups: Sequence[Group], metrics: Sequence[Metric], diversities: Sequence[float] | None
) -> tuple[list[Group], Metric | None]:
    """The groups with a frontier, and the first of the metrics that a frontier has, if any does.

    Raises:
        InputError: the diversities are not allowed, or there is no frontier to compare at them.
    """
    _check_diversities(diversities)
    points = {i: points_of(group) for i, group in enumerate(groups)}
    for metric in metrics:
        usable = [groups[i] for i in points if any(metric.name in p.values for p in points[i])]
        if usable:
            return usable, metric
    if diversities is not None:
        names = " or ".join(metric.name for metric in metrics)
        raise InputError(
            f"--diversity {' '.join(f'{x:g}' for x in diversities)}: no result has a frontier of "
            f"{names}. Evaluate again with evaluation.frontier=[0.5,0.75,1], or leave --diversity "
            f"out."
        )
    return [], None


def _check_diversities(diversities: Sequence[float] | None) -> None:
    """Refuse a number that no diversity can be, and a number that is given twice."""
    for i, diversity in enumerate(diversities or ()):
        if not 0 < diversity <= 1 or diversity in diversities[:i]:
            raise InputError(
                f"--diversity {diversity:g} is not allowed: give different shares of distinct "
                f"4-grams, above 0 and at most 1."
            )


def _earlier_figures(output: Path, names: Sequence[str]) -> list[str]:
    """The figures of an earlier report in the folder.

    Raises:
        InputError: the folder is a file, holds files of these names that no report wrote, or cannot
            be written.
    """
    if os.path.exists(output) and not output.is_dir():
        raise InputError(f"{output} is a file. Give a folder for the report.")
    check_writable(output, f"the folder {output} for the report", "Give another folder.")
    table = output / TABLE
    text = table.read_text(encoding="utf-8", errors="replace") if table.is_file() else ""
    linked = [f"{name}.png" for name in _FIGURE_LINK.findall(text)]
    figures = linked or list(_FIGURES_WITHOUT_LINKS)
    existing = [name for name in dict.fromkeys([*names, *figures]) if (output / name).exists()]
    if existing and not is_merged(output / MERGED_NAME):
        raise InputError(
            f"{output} holds {', '.join(existing)}, but no {MERGED_NAME} of an earlier report, so "
            f"these files would be lost. Give another folder, or move the files."
        )
    return figures
