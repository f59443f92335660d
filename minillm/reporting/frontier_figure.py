"""The frontiers of all methods as a figure: quality against diversity within a prompt."""

import math
from collections.abc import Sequence

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from minillm.evaluation.frontier import DIVERSITY
from minillm.evaluation.metrics import Metric
from minillm.reporting.frontiers import GroupPoint, points_of, samples_of
from minillm.reporting.groups import TEACHER, Group, unique
from minillm.reporting.look import DASHES, LOOK, legend_columns, styles_of

_USUAL_TEMPERATURE = 1.0  # the point at this temperature has a larger marker
_GREEDY_MARKER = "*"
_WIDTHS = (1, 8)  # of the strip of greedy decoding, and of the panel beside it


def frontier_figure(groups: Sequence[Group], metric: Metric) -> Figure:
    """A line over temperatures for each method; one panel per data set.

    Greedy decoding is a star in a strip of its own, because its responses to a prompt are identical
    and its diversity is far from all others. Temperatures are written at the points of the highest
    line. Points with top-p are open and joined by a dotted line. The strip is left out for a metric
    that greedy decoding does not have, such as the reverse KL.
    """
    data_sets = unique(group.data for group in groups)
    styles = styles_of(groups)
    with rc_context(LOOK):
        handles = _legend_lines(groups, metric, styles)
        width = (5.6 if len(handles) <= 8 else 7.2) if len(data_sets) == 1 else 4.6 * len(data_sets)
        columns = legend_columns([handle.get_label() for handle in handles], width)
        height = 3.8 + 0.2 * -(-len(handles) // columns)
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.get_layout_engine().set(wspace=0, w_pad=0.02)
        has_strip = any(point.is_greedy for group in groups for point in _points(group, metric))
        widths = _WIDTHS if has_strip else _WIDTHS[1:]
        axes = iter(figure.subplots(1, len(widths) * len(data_sets), squeeze=False,
                                    width_ratios=widths * len(data_sets))[0])  # fmt: skip
        for data in data_sets:
            of_data = [group for group in groups if group.data == data]
            strip = next(axes) if has_strip else None
            panel = next(axes)
            _draw_panel(panel, of_data, metric, styles)
            if strip:
                strip.sharey(panel)
                _draw_greedy(strip, of_data, metric, styles)
                panel.tick_params(axis="y", labelleft=False, length=0)
                panel.spines["left"].set_visible(False)
            (strip or panel).set_ylabel(metric.axis_label)
            if len(data_sets) > 1:
                panel.set_title(data, loc="left", fontweight="bold")
        samples = " or ".join(str(count) for count in unique(map(samples_of, groups)))
        figure.supxlabel(
            f"diversity: distinct 4-grams among {samples} responses to a prompt (share)\n"
            "←  sharper                 more diverse  →",
            fontsize="medium",
        )
        figure.legend(handles=handles, loc="outside upper center", ncols=columns)
        return figure


def _draw_panel(ax: Axes, groups: Sequence[Group], metric: Metric, styles: dict) -> None:
    """The lines of all points but greedy decoding."""
    highest = max(groups, key=lambda group: _mean_quality(group, metric))
    for group in groups:
        sampled = [point for point in _points(group, metric) if not point.is_greedy]
        style = _line_style(group, styles)
        line = [point for point in sampled if not point.uses_top_p]
        nucleus = [point for point in sampled if point.uses_top_p]
        ax.plot(*_xy(line, metric), linewidth=1.6, color=style["color"],
                linestyle=style["linestyle"], zorder=2)  # fmt: skip
        if nucleus:
            dotted = style | {"linestyle": ":", "markerfacecolor": "white"}
            ax.plot(*_xy(nucleus, metric), **dotted, linewidth=1.2, markersize=5, zorder=2)
        for point in line:
            size = 8.5 if point.temperature == _USUAL_TEMPERATURE else 5
            ax.plot(*_xy([point], metric), color=style["color"], marker=style["marker"],
                    markersize=size, markeredgecolor="white", markeredgewidth=0.6,
                    zorder=3)  # fmt: skip
        if group is highest:
            _write_decodings(ax, sampled, metric)
    ax.margins(x=0.1, y=0.1)


def _draw_greedy(ax: Axes, groups: Sequence[Group], metric: Metric, styles: dict) -> None:
    """A star for greedy decoding of each group; the strip has no scale of diversity."""
    for group in groups:
        for point in _points(group, metric):
            if point.is_greedy:
                ax.plot(0, point.values[metric.name], color=styles[group.label]["color"],
                        marker=_GREEDY_MARKER, markersize=11, markeredgecolor="white",
                        markeredgewidth=0.6)  # fmt: skip
    ax.set_xlim(-1, 1)
    ax.set_xticks([0], ["greedy"])
    ax.tick_params(axis="x", length=0)
    ax.grid(axis="x", visible=False)
    ax.set_facecolor("#F7F7F7")


def _write_decodings(ax: Axes, points: Sequence[GroupPoint], metric: Metric) -> None:
    """Write `T=0.5` to the right of a point, and `p=0.9` to the left."""
    for point in points:
        (x,), (y,) = _xy([point], metric)
        ax.annotate(
            f"p={point.top_p:g}" if point.uses_top_p else f"T={point.temperature:g}",
            (x, y),
            xytext=(-7, -3) if point.uses_top_p else (7, 2),
            textcoords="offset points",
            ha="right" if point.uses_top_p else "left",
            va="top" if point.uses_top_p else "bottom",
            fontsize="small",
            color="#333333",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.3, "alpha": 0.75},
            zorder=4,
        )


def _mean_quality(group: Group, metric: Metric) -> float:
    """Mean height of the line of a group."""
    heights = [p.values[metric.name] for p in _points(group, metric) if not p.is_greedy]
    return sum(heights) / len(heights) if heights else -math.inf


def _points(group: Group, metric: Metric) -> list[GroupPoint]:
    return [point for point in points_of(group) if metric.name in point.values]


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
    points = [point for group in groups for point in _points(group, metric)]
    gray = {"color": "#777777", "linestyle": "none"}
    if any(point.temperature == _USUAL_TEMPERATURE and not point.uses_top_p for point in points):
        handles.append(Line2D([], [], marker="o", markersize=8, label="temperature 1", **gray))
    if any(point.uses_top_p for point in points):
        handles.append(Line2D([], [], marker="o", markerfacecolor="white", label="top-p", **gray))
    return handles


def _xy(points: Sequence[GroupPoint], metric: Metric) -> tuple[list[float], list[float]]:
    return [p.values[DIVERSITY] for p in points], [p.values[metric.name] for p in points]
