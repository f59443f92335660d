"""Writes the tables and the figure of System 2 distillation from files of scores.

OUTPUT/table.md      one table per task
OUTPUT/table.csv     the same numbers
OUTPUT/accuracy.png  exact match against tokens per answer
OUTPUT/scores.json   all scores, from which the report can be written again
"""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minillm.errors import InputError
from minillm.evaluation.statistics import paired_bootstrap
from minillm.files import read_json, write_results
from minillm.reporting.markdown import NOTHING, table
from minillm.system2.figure import accuracy_figure
from minillm.system2.scores import Score, Scores

TABLE, CSV, FIGURE, SCORES = "table.md", "table.csv", "accuracy.png", "scores.json"
# The names that `scripts/system2/run.sh` gives to the model itself.
SYSTEM1, SYSTEM2 = "system1", "system2"
HEADER = ("method", "exact match", "minus system1", "minus system2", "consistency", "tokens",
          "seconds", "rows")  # fmt: skip
LEGEND = """\
Exact match: share of test questions with a right answer, 0 to 100, with its 95% bootstrap interval.
Minus system1, minus system2: the difference to these rows on the same questions, with the paired
interval. Consistency: share of questions whose answer is the same in all changed forms of the
question, with its interval. Tokens: generated per answer, intermediate ones included. Seconds: per
answer, with many questions at once. Rows: kept answers, one in ten of which is for validation."""


def write_report(paths: Sequence[Path], output: Path) -> str:
    """Write the report; returns a line about it.

    Args:
        paths: folders of tasks with a folder `scores`, or files scores.json of earlier reports.
        output: the folder for the report.

    Raises:
        InputError: a path has no scores, or two scores have the same task and name.
    """
    scores = load_scores(paths)
    tasks = by_task(scores)
    write_results(
        {
            output / TABLE: tables(tasks).encode(),
            output / CSV: csv_text(scores).encode(),
            output / FIGURE: accuracy_figure(tasks),
            output / SCORES: json_lines(scores).encode(),
        }
    )
    return f"{len(scores)} scores of {len(tasks)} tasks: {output / TABLE}"


def load_scores(paths: Sequence[Path]) -> list[Scores]:
    """The scores of folders and files, in their order.

    Raises:
        InputError: a path has no scores, or two scores have the same task and name.
    """
    found: dict[tuple[str, str], Scores] = {}
    for path in paths:
        files = [path] if path.is_file() else sorted(path.glob("scores/*.json"))
        if not files:
            raise InputError(
                f"{path} has no scores. Give the folder of a task in which `minillm system2 "
                f"evaluate` has written scores, or the scores.json of a report."
            )
        for file in files:
            content = read_json(file)
            for each in content if isinstance(content, list) else [content]:
                scores = Scores.from_json(each, str(file))
                key = (scores.task, scores.name)
                if found.setdefault(key, scores) != scores:
                    raise InputError(
                        f"{file}: there are two different scores for {scores.task}, {scores.name}. "
                        f"Give one of them another system2.name."
                    )
    if not found:
        raise InputError(f"{', '.join(map(str, paths))}: there are no scores in the files.")
    return list(found.values())


def by_task(scores: Sequence[Scores]) -> dict[str, list[Scores]]:
    """The scores of each task: system1, system2, then the others by name."""
    tasks: dict[str, list[Scores]] = {}
    for each in scores:
        tasks.setdefault(each.task, []).append(each)
    first = [SYSTEM1, SYSTEM2]
    for some in tasks.values():
        some.sort(key=lambda x: (first.index(x.name) if x.name in first else 2, x.name))
    return tasks


def tables(tasks: dict[str, list[Scores]]) -> str:
    """One Markdown table per task, and the legend."""
    parts = []
    for task, some in tasks.items():
        named = {scores.name: scores for scores in some}
        rows = [_row(scores, named) for scores in some]
        inputs = len(some[0].exact_match.per_input)
        parts += [f"## {task}: {inputs} questions", table(HEADER, rows, texts=1)]
        groups = sorted({group for scores in some for group in scores.groups})
        if groups:
            rows = [[x.name, *(interval(x.groups.get(group)) for group in groups)] for x in some]
            parts.append(table(["exact match of", *groups], rows, texts=1))
    return "\n\n".join([*parts, LEGEND]) + "\n"


def _row(scores: Scores, named: dict[str, Scores]) -> list[str]:
    training = scores.training or {}
    return [
        scores.name,
        interval(scores.exact_match),
        difference(scores, named.get(SYSTEM1)),
        difference(scores, named.get(SYSTEM2)),
        interval(scores.consistency),
        f"{scores.tokens.mean:.1f}",
        NOTHING if scores.seconds is None else f"{scores.seconds:.4f}",
        str(training.get("rows", NOTHING)),
    ]


def interval(score: Score | None) -> str:
    """A mean with its interval."""
    return f"{score.mean:.1f} [{score.ci_low:.1f}, {score.ci_high:.1f}]" if score else NOTHING


def difference(scores: Scores, reference: Scores | None) -> str:
    """The paired difference of the exact match; nothing for the reference or other questions."""
    if reference is None or reference is scores:
        return NOTHING
    asked = [x.record["made_with"]["questions"] for x in (scores, reference)]
    if asked[0] != asked[1]:
        return NOTHING
    pair = [np.array(x.exact_match.per_input) for x in (scores, reference)]
    found = paired_bootstrap(*pair)
    return f"{found.mean:+.1f} [{found.low:+.1f}, {found.high:+.1f}]"


def csv_text(scores: Sequence[Scores]) -> str:
    """One row per task and name."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["task", "name", "program", "questions", "exact_match", "ci_low", "ci_high",
                     "consistency", "tokens", "seconds", "unanswered", "rows"])  # fmt: skip
    for each in scores:
        match = each.exact_match
        writer.writerow([
            each.task, each.name, each.program, len(match.per_input), round(match.mean, 4),
            round(match.ci_low, 4), round(match.ci_high, 4),
            round(each.consistency.mean, 4) if each.consistency else "",
            round(each.tokens.mean, 4), "" if each.seconds is None else round(each.seconds, 6),
            round(each.unanswered, 4),
            (each.training or {}).get("rows", ""),
        ])  # fmt: skip
    return text.getvalue()


def json_lines(scores: Sequence[Scores]) -> str:
    """A JSON list with one score per line."""
    lines = ",\n".join(json.dumps(each.to_json(), ensure_ascii=False) for each in scores)
    return f"[\n{lines}\n]\n"
