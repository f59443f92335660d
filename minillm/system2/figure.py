"""The figure of System 2 distillation: exact match and tokens per answer, a panel per task."""

from collections.abc import Mapping, Sequence

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minillm.reporting.look import COLORS, LOOK, png_of
from minillm.system2.scores import Scores

COLUMNS = 3  # panels in a row
OWN = ("#8C8C8C", "#000000")  # System 1 and System 2 of the model itself


def accuracy_figure(tasks: Mapping[str, Sequence[Scores]]) -> bytes:
    """A PNG. A row of a panel is one way of answering, with the 95% interval of its exact match.

    The number beside a row is that of generated tokens per answer.

    Args:
        tasks: the scores of each task, those of the model itself first.
    """
    names = list(dict.fromkeys(scores.name for some in tasks.values() for scores in some))
    columns = min(len(tasks), COLUMNS)
    rows = -(-len(tasks) // columns)
    with rc_context(LOOK):
        figure = Figure(
            figsize=(3.0 * columns + 1.4, rows * (0.26 * len(names) + 0.8)), layout="constrained"
        )
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True).flatten()
        for ax, (task, some) in zip(panels, tasks.items(), strict=False):
            _draw(ax, task, some, names)
        for ax in panels[len(tasks) :]:
            ax.remove()
        figure.supxlabel("exact match (beside each row: generated tokens per answer)", fontsize=9)
        return png_of(figure)


def _draw(ax: Axes, task: str, some: Sequence[Scores], names: Sequence[str]) -> None:
    for scores in some:
        row, match = names.index(scores.name), scores.exact_match
        below, above = match.mean - match.ci_low, match.ci_high - match.mean
        ax.errorbar(
            match.mean, row, xerr=[[max(0, below)], [max(0, above)]], fmt="o", capsize=2,
            color=_color(row),
        )  # fmt: skip
        ax.annotate(
            f"{scores.tokens.mean:.1f}", (1.02, row), xycoords=("axes fraction", "data"),
            va="center", fontsize=8, color=_color(row), annotation_clip=False,
        )  # fmt: skip
    ax.set(title=task, xlim=(-3, 103), ylim=(len(names) - 0.5, -0.5))
    ax.set_yticks(range(len(names)), names)


def _color(row: int) -> str:
    return OWN[row] if row < len(OWN) else COLORS[(row - len(OWN)) % len(COLORS)]
