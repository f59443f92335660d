"""The figure of System 2 distillation: exact match against tokens per answer, a panel per task."""

from collections.abc import Mapping, Sequence

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from minillm.reporting.look import COLORS, LOOK, MARKERS, legend_columns, png_of
from minillm.system2.scores import Scores

COLUMNS = 3  # panels in a row
OWN = ("#8C8C8C", "#000000")  # System 1 and System 2 of the model itself


def accuracy_figure(tasks: Mapping[str, Sequence[Scores]]) -> bytes:
    """A PNG. A point is one way of answering; its bar is the 95% interval of the exact match.

    The upper left corner is best: right answers with few tokens.

    Args:
        tasks: the scores of each task, those of the model itself first.
    """
    names = list(dict.fromkeys(scores.name for some in tasks.values() for scores in some))
    looks = {name: _look(i) for i, name in enumerate(names)}
    columns = min(len(tasks), COLUMNS)
    rows = -(-len(tasks) // columns)
    width = 3.2 * columns + 0.6
    with rc_context(LOOK):
        figure = Figure(figsize=(width, 2.9 * rows + 0.6), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).flatten()
        for ax, (task, some) in zip(panels, tasks.items(), strict=False):
            for scores in some:
                match = scores.exact_match
                ax.errorbar(
                    scores.tokens.mean,
                    match.mean,
                    [[max(0, match.mean - match.ci_low)], [max(0, match.ci_high - match.mean)]],
                    label=scores.name,
                    capsize=2,
                    **looks[scores.name],
                )
            ax.set(title=task, ylim=(-4, 104), xscale="log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
            ax.xaxis.set_minor_locator(NullLocator())
        for ax in panels[len(tasks) :]:
            ax.remove()
        figure.supxlabel("generated tokens per answer", fontsize=9)
        figure.supylabel("exact match", fontsize=9)
        handles = {}
        for ax in panels[: len(tasks)]:
            handles |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        figure.legend(
            [handles[name] for name in names],
            names,
            loc="outside upper center",
            ncols=legend_columns(names, width),
        )
        return png_of(figure)


def _look(number: int) -> dict:
    """Colour and marker of the n-th name."""
    color = OWN[number] if number < len(OWN) else COLORS[(number - len(OWN)) % len(COLORS)]
    return {"color": color, "marker": MARKERS[number % len(MARKERS)], "linestyle": "none",
            "markersize": 6}  # fmt: skip
