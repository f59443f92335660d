"""Figures 1 and 5 of the paper: the score against the size of the student, and of the teacher."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes

from minillm.evaluation.result import ROUGE_L
from minillm.reporting.groups import Group, unique
from minillm.reporting.look import LOOK, styles_of
from minillm.reporting.paper.chart import (
    TEACHER_LINE,
    Chart,
    add_legend,
    make_panels,
    size_axis,
)
from minillm.reporting.paper.layout import Row
from minillm.reporting.paper.models import NO_PLAIN_TEXT, Model, Scored, parameters_of
from minillm.reporting.paper.scores import DATA_SETS, mean_over
from minillm.reporting.paper.tables import Figures, quality_models, reported_figure

_SHIFT = 1.04  # of the points of one size, so that their intervals do not cover each other
SCORE = "ROUGE-L at temperature 1 (0 to 100)"


def figure_1(scored: Sequence[Scored], figures: Figures) -> Chart | None:
    """The mean score of the data sets against the size of the student, one panel per family."""
    chosen = quality_models(scored)
    rows = []
    for family in unique(each.model.family for each in chosen):
        rows += _mean_rows([each for each in chosen if each.model.family == family], figures)
    with_students = {row["family"] for row in rows if row["method"] != "teacher"}
    rows = [row for row in rows if row["family"] in with_students]
    if not rows:
        return None
    families = unique(row["family"] for row in rows)
    titles = [f"{family}, {_data_sets(rows, family)}" for family in families]
    title = "Figure 1: score against the size of the student"
    with rc_context(LOOK):
        figure, axes = make_panels(titles, title)
        styles = styles_of_methods(chosen)
        for ax, family in zip(axes, families, strict=True):
            of_family = [row for row in rows if row["family"] == family]
            _draw_students(ax, of_family, "size", styles)
            _draw_teachers(ax, of_family)
            _draw_reported(ax, of_family, styles)
            ax.set_ylabel(f"mean {SCORE}")
        add_legend(figure, axes)
    caption = (
        "Mean ROUGE-L over the data sets that all models of the family have, at temperature 1, "
        "with the 95% bootstrap interval over inputs. Dashed line: teacher. Open markers: the mean "
        "of the figures that the paper reports for the same data sets. The paper draws the score "
        "by GPT-4."
    )
    return Chart("figure1", title, caption, figure, rows)


def figure_5(scored: Sequence[Scored]) -> Chart | None:
    """The score of one student against the size of its teacher."""
    students = _with_several_teachers(scored)
    rows, titles = [], []
    for family, size in unique((s.model.family, s.model.size) for s in students):
        of_size = [s for s in students if (s.model.family, s.model.size) == (family, size)]
        new = _mean_rows(of_size, {})
        if not new:  # the students of this size share no data set
            continue
        rows += new
        titles.append(f"{family} {size}, {_data_sets(new, family)}")
    if not rows:
        return None
    title = "Figure 5: score against the size of the teacher"
    panels = unique((row["family"], row["size"]) for row in rows)
    with rc_context(LOOK):
        figure, axes = make_panels(titles, title)
        styles = styles_of_methods(students)
        for ax, panel in zip(axes, panels, strict=True):
            of_panel = [row for row in rows if (row["family"], row["size"]) == panel]
            _draw_students(ax, of_panel, "teacher_size", styles)
            ax.set_ylabel(f"mean {SCORE}")
        add_legend(figure, axes)
    caption = (
        "Mean ROUGE-L of one student at temperature 1 over the data sets that all of its versions "
        "have, with the 95% bootstrap interval over inputs, against the parameters of its teacher. "
        "The paper draws the score by GPT-4."
    )
    return Chart("figure5", title, caption, figure, rows)


def _with_several_teachers(scored: Sequence[Scored]) -> list[Scored]:
    """The results of students that a method has trained with teachers of several sizes."""
    candidates = [
        each for each in scored
        if each.data in DATA_SETS and each.model.teacher_size and _differs_in_teacher(each.model)
    ]  # fmt: skip

    def student(each: Scored) -> tuple[str, str, str]:
        return each.model.family, each.model.size, each.model.method

    teachers = defaultdict(set)
    for each in candidates:
        teachers[student(each)].add(each.model.teacher_size)
    return [each for each in candidates if len(teachers[student(each)]) > 1]


def _differs_in_teacher(model: Model) -> bool:
    """Whether a student is as in the paper, its teacher aside."""
    return all(change == NO_PLAIN_TEXT or change.startswith("teacher ") for change in model.changes)


def _mean_rows(scored: Sequence[Scored], figures: Figures) -> list[Row]:
    """One row per model: its mean over the data sets that all models have."""
    models: dict[Model, dict[str, Scored]] = {}
    for each in scored:
        models.setdefault(each.model, {})[each.data] = each
    common = [name for name in DATA_SETS if all(name in data for data in models.values())]
    rows = []
    for model, data in models.items():
        interval = mean_over([data[name] for name in common], ROUGE_L)
        if interval is None:
            continue
        reported = [reported_figure(figures, model, name, ROUGE_L) for name in common]
        rows.append(
            {
                "family": model.family, "size": model.size, "method": model.method,
                "changes": "; ".join(model.changes), "teacher_size": model.teacher_size,
                "data": " ".join(common), "mean": interval.mean, "ci_low": interval.low,
                "ci_high": interval.high,
                "reported": None if None in reported else float(np.mean(reported)),
            }
        )  # fmt: skip
    return rows


def _data_sets(rows: Sequence[Row], family: str) -> str:
    """The names of the data sets that the rows of a family average, such as `mean of A, B`."""
    data = next(row["data"] for row in rows if row["family"] == family).split()
    return ("mean of " if len(data) > 1 else "") + ", ".join(DATA_SETS[name] for name in data)


def styles_of_methods(scored: Sequence[Scored]) -> dict[str, dict]:
    """The style of each method, as in the other figures of this project."""
    groups = [Group("", each.model.method, each.group.results) for each in scored]
    return styles_of(groups)


def _students(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of students by method, and by their changes except those of the teacher."""
    lines: dict[str, list[Row]] = {}
    for row in rows:
        if row["method"] != "teacher":
            changes = [c for c in row["changes"].split("; ") if c and not c.startswith("teacher ")]
            lines.setdefault(", ".join([row["method"], *changes]), []).append(row)
    return lines


def _draw_students(ax: Axes, rows: Sequence[Row], key: str, styles: dict) -> None:
    """A line for each method over the sizes in the column `key`, with intervals."""
    lines = _students(rows)
    sizes = {row[key]: parameters_of(row[key]) for line in lines.values() for row in line}
    for i, (label, line) in enumerate(lines.items()):
        line = sorted(line, key=lambda row: sizes[row[key]])
        x = [sizes[row[key]] * _SHIFT ** (i - len(lines) / 2) for row in line]
        y = [row["mean"] for row in line]
        errors = [[row["mean"] - row["ci_low"] for row in line],
                  [row["ci_high"] - row["mean"] for row in line]]  # fmt: skip
        style = styles[line[0]["method"]] | (
            {"linestyle": ":", "marker": "s"} if "," in label else {}
        )
        ax.errorbar(x, y, errors, label=label, capsize=2.5, linewidth=1.6, markersize=5, **style)
    size_axis(ax, sizes, f"parameters of the {'student' if key == 'size' else 'teacher'}")


def _draw_teachers(ax: Axes, rows: Sequence[Row]) -> None:
    for row in rows:
        if row["method"] == "teacher":
            ax.axhline(row["mean"], **TEACHER_LINE, label="teacher", zorder=1)
            ax.annotate(f"teacher {row['size']}", (0.01, row["mean"]), fontsize="small",
                        xycoords=("axes fraction", "data"), xytext=(0, 3),
                        textcoords="offset points")  # fmt: skip


def _draw_reported(ax: Axes, rows: Sequence[Row], styles: dict) -> None:
    """Open markers for the figures of the paper, beside ours."""
    for i, (label, line) in enumerate(lines := _students(rows).items()):
        points = [(parameters_of(row["size"]) * _SHIFT ** (i - len(lines) / 2), row["reported"])
                  for row in line if row["reported"] is not None]  # fmt: skip
        if points and "," not in label:
            style = styles[label]
            ax.plot(*zip(*points, strict=True), linestyle="none", marker=style["marker"],
                    color=style["color"], markerfacecolor="white", markersize=6,
                    label=f"{label}, reported")  # fmt: skip
