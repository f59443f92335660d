"""The report of a set of results: tables, figures, and the results themselves in one file.

    write_report([Path("runs")], Path("results/e2e"))

writes table.md, table.csv, rouge_l.png, training.png (if a run has a history) and results.json.
The last holds everything that the others are made from, so a report that is kept can be made again
without its runs: `write_report([Path("results/e2e")], Path("results/e2e"))`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from minillm.errors import InputError
from minillm.reporting.figures import rouge_figure, training_figure
from minillm.reporting.groups import Group, group_results
from minillm.reporting.results import MERGED_NAME, load_results, rounded
from minillm.reporting.table import csv_table, differences_table, markdown_table, provenance

_FILES = (MERGED_NAME, "table.md", "table.csv", "rouge_l.png", "training.png")


def write_report(paths: Sequence[Path], output: Path, title: str | None = None) -> str:
    """Write tables and figures of the results at `paths` into the folder `output`.

    Files of an earlier report there are replaced (and its training.png removed if no run has a
    history now); other files are left alone.

    Args:
        paths: result files, folders of runs, or earlier reports; see `load_results`.
        output: the folder, created if need be.
        title: heading of table.md; "Results" by default.

    Returns:
        The Markdown table of scores, with its legend and the table of differences.

    Raises:
        InputError: if the results cannot be used, or `output` holds files with the names of a
            report that no report wrote. Nothing is written then.
    """
    output = Path(output)
    _check_output(output)
    results = [rounded(result) for result in load_results(paths)]
    groups = group_results(results)
    table = _tables(groups)
    heading = f"# {title or 'Results'}"
    contents = {
        MERGED_NAME: json.dumps(results, indent=1, ensure_ascii=False) + "\n",
        "table.md": f"{heading}\n\n{table}\n\n## Provenance\n\n{provenance(results)}\n",
        "table.csv": csv_table(results),
        "rouge_l.png": rouge_figure(groups),
        "training.png": training_figure(groups),
    }
    output.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        _replace(output / name, content)
    return table


def _tables(groups: Sequence[Group]) -> str:
    """The table of scores, followed by that of differences if there are any."""
    parts = [markdown_table(groups)]
    differences = differences_table(groups)
    if differences is not None:
        parts += ["## MiniLLM against the others", differences]
    return "\n\n".join(parts)


def _check_output(output: Path) -> None:
    """Refuse a folder in which something else has the name of a file of ours."""
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file; give a folder for the report")
    taken = [name for name in _FILES if (output / name).exists()]
    if taken and not _is_merged(output / MERGED_NAME):
        raise InputError(
            f"{output} holds {', '.join(taken)}, but no {MERGED_NAME} of an earlier report, so "
            "what is there would be lost; give another folder, or move it away"
        )


def _is_merged(file: Path) -> bool:
    """Whether a file holds the results of an earlier report."""
    try:
        load_results([file])
        return isinstance(json.loads(file.read_text(encoding="utf-8")), list)
    except InputError:
        return False


def _replace(file: Path, content: str | bytes | None) -> None:
    """Write a file aside and rename it, so that it is never half written; None removes it."""
    if content is None:
        file.unlink(missing_ok=True)
        return
    aside = file.with_name(f".{file.name}.partial")
    aside.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    aside.replace(file)
