"""The frontiers of all methods as a figure: quality against diversity within a prompt."""

from collections.abc import Sequence

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from minillm.evaluation.frontier import DIVERSITY
from minillm.evaluation.metrics import Metric
from minillm.reporting.frontiers import GroupPoint, points_of, samples_of
from minillm.reporting.groups import TEACHER, Group, is_student, unique
from minillm.reporting.look import DASHES, LOOK, png_of, styles_of

_USUAL_TEMPERATURE = 1.0  # the point at this temperature has a larger marker
_GREEDY_MARKER = "*"


def frontier_figure(groups: Sequence[Group], metric: Metric, reference: str | None) -> bytes:
    """A line over temperatures for each method, as a PNG; one panel per data set.

    Greedy decoding is a star. Temperatures are written at the points of one line: those of the
    reference, or of the last method. Points with top-p are open and joined by a dotted line.
    """
    data_sets = unique(group.data for group in groups)
    styles = styles_of(groups)
    with rc_context(LOOK):
        width = 5.6 if len(data_sets) == 1 else 4.4 * len(data_sets)
        figure = Figure(figsize=(width, 4.4), layout="constrained")
        panels = figure.subplots(1, len(data_sets), squeeze=False)[0]
        for ax, data in zip(panels, data_sets, strict=True):
            of_data = [group for group in groups if group.data == data]
            _draw_panel(ax, of_data, metric, reference, styles)
            if len(data_sets) > 1:
                ax.set_title(data, loc="left", fontweight="bold")
        handles = _legend_lines(groups, metric, styles)
        figure.legend(handles=handles, loc="outside upper center", ncols=min(4, len(handles)))
        return png_of(figure)


def _draw_panel(
    ax: Axes, groups: Sequence[Group], metric: Metric, reference: str | None, styles: dict
) -> None:
    labelled = _labelled(groups, reference)
    for group in groups:
        points = [point for point in points_of(group) if metric.name in point.values]
        style = _line_style(group, styles)
        line = [point for point in points if not point.uses_top_p]
        nucleus = [point for point in points if point.uses_top_p]
        ax.plot(*_xy(line, metric), linewidth=1.6, color=style["color"],
                linestyle=style["linestyle"], zorder=2)  # fmt: skip
        if nucleus:
            ax.plot(*_xy(nucleus, metric), **style | {"linestyle": ":"}, linewidth=1.2,
                    markersize=5, markerfacecolor="white", zorder=2)  # fmt: skip
        for point in line:
            is_usual = point.temperature == _USUAL_TEMPERATURE
            marker = _GREEDY_MARKER if point.is_greedy else style["marker"]
            size = 11 if point.is_greedy else 8 if is_usual else 4.5
            ax.plot(*_xy([point], metric), color=style["color"], marker=marker, markersize=size,
                    markeredgecolor="white", markeredgewidth=0.6, zorder=3)  # fmt: skip
        if group is labelled:
            _write_decodings(ax, points, metric)
    samples = " or ".join(str(count) for count in unique(map(samples_of, groups)))
    ax.set_xlabel(f"sharper  ←  distinct 4-grams among {samples} responses to a prompt  →  diverse")
    ax.set_ylabel(metric.axis_label)
    ax.margins(x=0.08, y=0.1)


def _write_decodings(ax: Axes, points: Sequence[GroupPoint], metric: Metric) -> None:
    """Write `greedy`, `T=0.5` or `p=0.9` above the points."""
    for point in points:
        text = f"p={point.top_p:g}" if point.uses_top_p else f"T={point.temperature:g}"
        (x,), (y,) = _xy([point], metric)
        ax.annotate(
            "greedy" if point.is_greedy else text,
            (x, y),
            xytext=(0, -13 if point.uses_top_p else 7),
            textcoords="offset points",
            ha="center",
            fontsize="small",
            color="#333333",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.8},
            zorder=4,
        )


def _labelled(groups: Sequence[Group], reference: str | None) -> Group:
    """The group whose points have labels: the reference, else the last student."""
    of_reference = [group for group in groups if group.method == reference]
    students = [group for group in groups if is_student(group)]
    return (of_reference or students or list(groups))[-1]


def _line_style(group: Group, styles: dict) -> dict:
    """The style of the group; a teacher is dashed, as in the other figures."""
    style = styles[group.label]
    return style | {"linestyle": DASHES[1]} if group.method == TEACHER else style


def _legend_lines(groups: Sequence[Group], metric: Metric, styles: dict) -> list[Line2D]:
    """A line for each label, and the meaning of the markers."""
    by_label = {group.label: group for group in groups}
    handles = [
        Line2D([], [], **_line_style(by_label[label], styles), label=label, markersize=5)
        for label in styles
        if label in by_label
    ]
    points = [point for group in groups for point in points_of(group)]
    gray = {"color": "#777777", "linestyle": "none"}
    if any(point.is_greedy and metric.name in point.values for point in points):
        handles.append(Line2D([], [], marker=_GREEDY_MARKER, markersize=10, label="greedy", **gray))
    if any(point.temperature == _USUAL_TEMPERATURE and not point.uses_top_p for point in points):
        handles.append(Line2D([], [], marker="o", markersize=8, label="temperature 1", **gray))
    if any(point.uses_top_p for point in points):
        handles.append(Line2D([], [], marker="o", markerfacecolor="white", label="top-p", **gray))
    return handles


def _xy(points: Sequence[GroupPoint], metric: Metric) -> tuple[list[float], list[float]]:
    return [p.values[DIVERSITY] for p in points], [p.values[metric.name] for p in points]
