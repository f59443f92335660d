"""What all figures of the paper share: their files, panels and legends."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minillm.reporting.groups import TEACHER
from minillm.reporting.look import COLORS, DASHES, MARKERS, ROLE_COLORS, legend_columns
from minillm.reporting.paper.layout import Row

_PANELS_IN_A_ROW = 3
_PANEL = (4.4, 3.3)  # inches
ONE_PANEL = 6.2


@dataclass(frozen=True)
class Chart:
    """A figure with its caption and the values that it shows."""

    name: str  # of its files, such as `figure1`
    title: str
    caption: str
    figure: Figure
    rows: Sequence[Row]


def make_panels(titles: Sequence[str], title: str) -> tuple[Figure, list[Axes]]:
    """A figure with one panel per title. Call it and draw within `rc_context(LOOK)`."""
    columns = min(len(titles), _PANELS_IN_A_ROW)
    rows = -(-len(titles) // columns)
    width = _PANEL[0] * columns if columns > 1 else ONE_PANEL
    figure = Figure(figsize=(width, 0.9 + _PANEL[1] * rows), layout="constrained")
    figure.suptitle(title, fontsize=11, fontweight="bold", x=0.01, ha="left")
    axes = list(figure.subplots(rows, columns, squeeze=False).flatten())
    for ax in axes[len(titles) :]:
        ax.remove()
    for ax, text in zip(axes, titles, strict=False):
        ax.set_title(text, loc="left", fontsize=9)
    return figure, axes[: len(titles)]


def add_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend below all panels, with each label once, and labels with a comma last."""
    lines = {}
    for ax in axes:
        for line, label in zip(*ax.get_legend_handles_labels(), strict=True):
            lines.setdefault(label, line)
    if lines:
        lines = dict(sorted(lines.items(), key=lambda item: "," in item[0]))
        columns = legend_columns([*lines], figure.get_figwidth())
        figure.legend(lines.values(), lines.keys(), loc="outside lower left", ncols=columns)


def numbered_styles(names: Sequence[str]) -> dict[str, dict]:
    """Another colour, line and marker for each name, in order."""
    return {
        name: {
            "color": COLORS[i % len(COLORS)],
            "linestyle": DASHES[i % len(DASHES)],
            "marker": MARKERS[i % len(MARKERS)],
        }
        for i, name in enumerate(names)
    }


def size_axis(ax: Axes, sizes: dict[str, float], label: str) -> None:
    """A logarithmic axis of parameters, with one tick for each size."""
    ax.set_xscale("log")
    ax.set_xticks(list(sizes.values()), list(sizes), minor=False)
    ax.set_xticks([], minor=True)
    smallest, largest = min(sizes.values()), max(sizes.values())
    ax.set_xlim(smallest / 1.35, largest * 1.35)
    ax.set_xlabel(label)


TEACHER_LINE = {"color": ROLE_COLORS[TEACHER], "linewidth": 1.2, "linestyle": DASHES[1]}
