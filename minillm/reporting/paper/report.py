"""Writes all tables and figures of the paper that the results allow: `minillm report paper`.

    write_paper([Path("runs/gpt2")], Path("results/gpt2"), Path("results/paper"))

OUTPUT/table1.md, .csv, .tex     each table: Markdown, values with all digits, LaTeX
OUTPUT/figure1.png, .svg, .csv   each figure, and the values that it shows
OUTPUT/index.html                all in one page, with the responses
OUTPUT/files.json                the names of these files; a later report replaces them
"""

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from minillm.errors import InputError
from minillm.evaluation.result import Result
from minillm.files import check_writable, write_results
from minillm.reporting.look import png_of, svg_of
from minillm.reporting.page.page import Part, html_page
from minillm.reporting.page.samples import Source, collect_samples
from minillm.reporting.paper import ablations, curves, differences, lengths, sizes, tables
from minillm.reporting.paper.chart import Chart
from minillm.reporting.paper.frontiers import frontier_charts
from minillm.reporting.paper.layout import Table, csv_of, latex_of, markdown_of
from minillm.reporting.paper.missing import COMMANDS, missing_text
from minillm.reporting.paper.models import Scored, scored_models
from minillm.reporting.paper.reported import Reported, read_reported
from minillm.reporting.results import locate_results
from minillm.reporting.table import provenance

log = logging.getLogger(__name__)

PAGE = "index.html"
MANIFEST = "files.json"
TITLE = "MiniLLM: the tables and figures of the paper"
MOST_INPUTS = 100  # in the browser of responses, per family and data set
# The kinds of files of a table and of a figure, and what they hold.
TABLE_FILES: dict[str, Callable[[Table], bytes]] = {
    "md": lambda table: f"# {table.title}\n\n{markdown_of(table)}\n".encode(),
    "csv": lambda table: csv_of(table.rows).encode(),
    "tex": lambda table: latex_of(table).encode(),
}
CHART_FILES: dict[str, Callable[[Chart], bytes]] = {
    "png": lambda chart: png_of(chart.figure),
    "svg": lambda chart: svg_of(chart.figure),
    "csv": lambda chart: csv_of(chart.rows).encode(),
}


def write_paper(paths: Sequence[Path], output: Path, reported: Path | None) -> str:
    """Write the tables and figures of the results at `paths` into the folder `output`.

    The files of an earlier report in the folder are replaced or deleted. Other files are not
    changed.

    Args:
        paths: result files, folders of runs, or reports of `minillm report`; see `load_results`.
        output: the folder, created if it does not exist.
        reported: the folder of the figures that the paper reports; None for no such figures.

    Returns:
        Table 1 in short, and the commands for what is missing, in Markdown.

    Raises:
        InputError: the results or the reported figures cannot be used, no table or figure can be
            made, or `output` holds files of these names that no report wrote, or cannot be
            written. Then nothing is written.
        WriteError: a file could not be written. Then no file is changed.
    """
    figures = read_reported(reported)
    results = locate_results(paths)
    scored = scored_models(_of_paper(results))
    made = make_tables(scored, figures)
    charts = make_charts(scored, figures)
    if not made and not charts:
        raise InputError(
            f"no table or figure can be made of these {len(results)} results: no student has "
            f"scores of the data sets of the paper ({', '.join(tables.DATA_SETS)}, sst2, boolq). "
            f"docs/reproduce.md has the commands."
        )
    names = [f"{table.name}.{kind}" for table in made for kind in TABLE_FILES]
    names += [f"{chart.name}.{kind}" for chart in charts for kind in CHART_FILES]
    names += [PAGE, MANIFEST]
    earlier = _earlier_files(output, names)
    missing = _missing(made, charts)
    contents = _files(made, charts)
    origin = provenance([result for each in scored for result in each.group.results])
    samples = collect_samples(_sources(scored), MOST_INPUTS)
    parts = _table_parts(made, missing), _chart_parts(charts, contents)
    contents[PAGE] = html_page(TITLE, *parts, origin, samples).encode()
    contents[MANIFEST] = (json.dumps(sorted(names), indent=1) + "\n").encode()
    write_results({output / name: content for name, content in contents.items()})
    for name in earlier - {*names}:
        (output / name).unlink(missing_ok=True)
    log.info("written to %s: %s (all in one page), and %d files of tables and figures", output,
             PAGE, len(names) - 2)  # fmt: skip
    short = next((markdown_of(table) for table in made if table.name == "table1_overview"), "")
    return "\n\n".join(filter(None, (short, missing and f"Not in these results:\n\n{missing}")))


def _of_paper(results: Mapping[str, Result]) -> dict[str, Result]:
    """The results of the data sets of the paper, and of their subsets, such as `sinst_0_5`.

    Others may have the same names of models and runs, as the runs of a quickstart do.
    """
    names = (*tables.DATA_SETS, *tables.CLASSIFICATIONS)
    return {where: each for where, each in results.items() if each.data.startswith(names)}


def make_tables(scored: Sequence[Scored], figures: Reported) -> list[Table]:
    """The tables for which there are results."""
    made = (
        tables.table_1_overview(scored, figures["table1"]),
        tables.table_1(scored, figures["table1"]),
        tables.table_2(scored, figures["table2"]),
        tables.table_3(scored, figures["table3"]),
        ablations.table_4(scored, figures["table4"]),
        ablations.table_7(scored, figures["table7"]),
        differences.differences(scored),
    )
    return [table for table in made if table]


def make_charts(scored: Sequence[Scored], figures: Reported) -> list[Chart]:
    """The figures for which there are results."""
    made = (
        sizes.figure_1(scored, figures["table1"]),
        *frontier_charts(scored),
        sizes.figure_5(scored),
        curves.figure_6(scored),
        lengths.figure_7(scored),
        curves.figure_8(scored),
        curves.figure_16(scored),
    )
    return [chart for chart in made if chart]


def _missing(made: Sequence[Table], charts: Sequence[Chart]) -> str:
    """The commands for the tables and figures that were not made."""
    names = {each.name.partition("_")[0] for each in [*made, *charts]}
    return missing_text([name for name in COMMANDS if name not in names])


def _files(made: Sequence[Table], charts: Sequence[Chart]) -> dict[str, bytes]:
    """The files of all tables and figures, by name."""
    of_tables = {
        f"{table.name}.{kind}": content(table)
        for table in made
        for kind, content in TABLE_FILES.items()
    }
    of_charts = {
        f"{chart.name}.{kind}": content(chart)
        for chart in charts
        for kind, content in CHART_FILES.items()
    }
    return of_tables | of_charts


def _table_parts(made: Sequence[Table], missing: str) -> list[Part]:
    parts = [Part(table.name, table.title, markdown_of(table)) for table in made]
    return parts + ([Part("missing", "Not in these results", missing)] if missing else [])


def _chart_parts(charts: Sequence[Chart], contents: Mapping[str, bytes]) -> list[Part]:
    return [
        Part(chart.name, chart.title, chart.caption, contents[f"{chart.name}.png"])
        for chart in charts
    ]


def _sources(scored: Sequence[Scored]) -> list[Source]:
    """The files of responses for the browser, by family and data set."""
    return [
        (Path(file), f"{each.model.family}, {tables.DATA_SETS.get(each.data, each.data)}",
         f"{each.model.size} {each.model.name}")
        for each in scored
        for file in each.files
    ]  # fmt: skip


def _earlier_files(output: Path, new: Sequence[str]) -> set[str]:
    """The files of an earlier report in the folder.

    Raises:
        InputError: the folder is a file, holds other files of the new names, or cannot be written.
    """
    if os.path.exists(output) and not output.is_dir():
        raise InputError(f"{output} is a file. Give a folder for the report.")
    check_writable(output, f"the folder {output} for the report", "Give another folder.")
    try:
        earlier = set(json.loads((output / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        earlier = set()
    foreign = sorted(name for name in new if (output / name).exists() and name not in earlier)
    if foreign:
        raise InputError(
            f"{output} holds {', '.join(foreign[:3])}, which no earlier report has written, so "
            f"these files would be lost. Give another folder, or move the files."
        )
    return {name for name in earlier if Path(name).name == name}
