"""Results as figures: scores with their intervals, and validation over training.

Figures are drawn without a display and without global state, and returned as PNG bytes.
"""

from collections.abc import Sequence

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from minillm.evaluation.metrics import Metric
from minillm.evaluation.result import Run
from minillm.reporting.groups import TEACHER, Group, is_student, unique
from minillm.reporting.look import DASHES, LOOK, ROLE_COLORS, legend_columns, png_of, styles_of

_PANELS_IN_A_ROW = 3
_POINTS_MARKED = 30
_TEXT_HEIGHT = 11  # points, of one line of small text


def metric_figure(groups: Sequence[Group], metric: Metric) -> bytes | None:
    """A metric of each method with its 95% interval, as a PNG; one panel per data set.

    Small open dots under a mean show its training runs. Teachers are vertical lines. The result is
    None if no method has the metric in all of its training runs.
    """
    groups = [group for group in groups if group.score(metric.name) is not None]
    if not groups:
        return None
    panels = unique(group.data for group in groups)
    students = [group for group in groups if group.method != TEACHER]
    styles = styles_of(groups)
    labels = [label for label in styles if label in {group.label for group in students}]
    columns = min(len(panels), _PANELS_IN_A_ROW)
    rows = -(-len(panels) // columns)
    label_width = 0.5 + 0.07 * max(map(len, labels), default=0)  # inches
    width = label_width + (3.4 if columns > 1 else 4.8) * columns
    with rc_context(LOOK):
        figure = Figure(figsize=(width, rows * (1.2 + 0.36 * len(labels))), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True).flatten()
        for ax, data in zip(axes, panels, strict=False):
            teachers = [group for group in groups if group.data == data and group.method == TEACHER]
            _draw_scores(ax, [g for g in students if g.data == data], metric, labels, styles)
            _draw_teachers(ax, teachers, metric)
            ax.set_title(data, loc="left", fontweight="bold", pad=7 + _TEXT_HEIGHT * len(teachers))
        for ax in axes[len(panels) :]:
            ax.remove()
        figure.supxlabel(_caption(students, metric), fontsize="medium")
        return png_of(figure)


def _caption(students: Sequence[Group], metric: Metric) -> str:
    caption = metric.axis_label
    if any(group.interval(metric.name) for group in students):
        caption += " with 95% interval over inputs"
    if any(len(group.results) > 1 for group in students):
        caption += "; open dots: single training runs"
    return caption


def training_figure(groups: Sequence[Group], metrics: Sequence[Metric]) -> bytes | None:
    """Validation scores over training, as a PNG; one panel per score and one line per run.

    Teacher and start are left out if there are students, whose curves are flat on the scale of
    teacher and start. Time is wall time if every run has it, else training steps. The result is
    None if no run has any of the scores in its history.
    """
    compared = [group for group in groups if is_student(group)]
    rows = _runs_with_history(compared or groups)
    runs = [run for row in rows.values() for _, run in row]
    metrics = [metric for metric in metrics if any(_points(run, metric.name) for run in runs)]
    if not metrics:
        return None
    time = _time_axis(runs)
    styles = styles_of(groups)
    width = 3.9 * len(metrics) if len(metrics) > 1 else 5.2
    with rc_context(LOOK):
        figure = Figure(figsize=(width, 0.6 + 3.1 * len(rows)), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.08)
        lines = {}
        panels = figure.subplots(len(rows), len(metrics), squeeze=False)
        for row, data in zip(panels, rows, strict=True):
            if len(rows) > 1:
                row[0].set_title(data, loc="left", fontweight="bold")
            for ax, metric in zip(row, metrics, strict=True):
                lines |= _draw_runs(ax, rows[data], metric, time, styles)
        order = [label for label in styles if label in lines]
        legend = {"loc": "outside upper center", "ncols": legend_columns(order, width)}
        figure.legend([lines[label] for label in order], order, **legend)
        return png_of(figure)


def _draw_scores(
    ax: Axes, groups: Sequence[Group], metric: Metric, labels: list[str], styles: dict
) -> None:
    """Draw a dot with its interval and value for each group; one row per label, from the top."""
    for group in groups:
        row, style = labels.index(group.label), styles[group.label]
        mean, interval = group.score(metric.name), group.interval(metric.name)
        color = style["color"]
        if interval:
            ax.plot([interval.low, interval.high], [row, row], color=color, linewidth=2.2)
        ax.plot(mean, row, marker=style["marker"], color=color, markersize=6.5)
        if len(group.results) > 1:
            runs = [run.mean for run in group.runs(metric.name)]
            open_dot = {"marker": "o", "markersize": 3.5, "markerfacecolor": "none"}
            ax.plot(runs, [row + 0.28] * len(runs), linestyle="none", color=color, **open_dot)
        ax.annotate(
            format(mean, metric.form),
            (interval.high if interval else mean, row),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )
    ax.set_yticks(range(len(labels)), labels)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    ax.set_ylim(max(len(labels), 1) - 0.4, -0.6)
    ax.margins(x=0.14)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))


def _draw_teachers(ax: Axes, groups: Sequence[Group], metric: Metric) -> None:
    """Draw a dashed vertical line for each teacher, with its name above the panel."""
    for i, group in enumerate(groups):
        mean = group.score(metric.name)
        ax.axvline(mean, color=ROLE_COLORS[TEACHER], linewidth=1.2, linestyle=DASHES[1], zorder=1)
        ax.annotate(
            f"{group.label} {mean:{metric.form}}",
            (mean, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3 + _TEXT_HEIGHT * i),
            textcoords="offset points",
            ha="center",
            fontsize="small",
        )


def _draw_runs(
    ax: Axes, runs: Sequence[tuple[str, Run]], metric: Metric, time: tuple, styles: dict
) -> dict:
    """Draw one line for each run that has the score; return one line of each label."""
    time_key, time_label, scale = time
    lines = {}
    for label, run in runs:
        points = _points(run, metric.name)
        if points:
            x = [point[time_key] / scale for point in points]
            y = [point[metric.name] for point in points]
            size = 3.5 if len(points) <= _POINTS_MARKED else 0
            (lines[label],) = ax.plot(x, y, markersize=size, linewidth=1.6, **styles[label])
    ax.set_xlabel(time_label)
    ax.set_ylabel(f"validation {metric.axis_label}")
    return lines


def _runs_with_history(groups: Sequence[Group]) -> dict[str, list[tuple[str, Run]]]:
    """Labels and runs by data set. A run with results on several data sets is listed once."""
    runs_by_data, listed = {}, []
    for group in groups:
        for result in group.results:
            run = group.label, result.run
            if result.run and result.run.history and run not in listed:
                listed.append(run)
                runs_by_data.setdefault(group.data, []).append(run)
    return runs_by_data


def _points(run: Run, name: str) -> list[dict]:
    """The validations of a run that have the score, in the order of the steps."""
    points = [point for point in run.history if point.get(name) is not None]
    return sorted(points, key=lambda point: point["step"])


def _time_axis(runs: Sequence[Run]) -> tuple[str, str, int]:
    """The key of the time in histories, the label of the axis, and the divisor of the time."""
    points = [point for run in runs for point in run.history]
    if any(point.get("seconds") is None for point in points):
        return "step", "training steps", 1
    longest = max(point["seconds"] for point in points)
    units = {"s": 1, "min": 60, "h": 3600}
    unit = next((u for u, size in units.items() if longest < 300 * size), "h")
    return "seconds", f"training time ({unit})", units[unit]
