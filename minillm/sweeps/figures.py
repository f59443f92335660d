"""Figures of a sweep, as PNGs: history, slices, parallel coordinates and importance.

Complete trials are dots, pruned trials crosses at their last score.
"""

from collections.abc import Mapping, Sequence
from math import log

from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from minillm.reporting.look import COLORS, LOOK, png_of

DOT, CROSS, BEST = COLORS[2], COLORS[5], COLORS[1]
COLUMNS = 3  # panels in a row
GOOD_LAST = colormaps["viridis"]


def score_of(trial: FrozenTrial, index: int) -> float | None:
    """A score of a complete trial, or the last score of a pruned trial with one objective."""
    if trial.state == TrialState.COMPLETE:
        return trial.values[index]
    if trial.state == TrialState.PRUNED and index == 0 and trial.intermediate_values:
        return trial.intermediate_values[max(trial.intermediate_values)]
    return None


def history_figure(trials: Sequence[FrozenTrial], objectives: Mapping[str, bool]) -> bytes:
    """Each score by the number of the trial, and the best score so far; a panel per objective.

    Args:
        trials: all trials.
        objectives: the names of the objectives, and whether more is better.
    """
    with rc_context(LOOK):
        figure = Figure(figsize=(6.0, 2.8 * len(objectives)), layout="constrained")
        panels = figure.subplots(len(objectives), 1, squeeze=False).flatten()
        for index, (ax, (name, more)) in enumerate(zip(panels, objectives.items(), strict=True)):
            _points(ax, trials, index, {trial.number: trial.number for trial in trials})
            complete = [t for t in trials if t.state == TrialState.COMPLETE]
            best, pick = [], max if more else min
            for trial in complete:
                best.append(pick([trial.values[index], *best[-1:]]))
            ax.step([t.number for t in complete], best, where="post", color=BEST,
                    label="best so far")  # fmt: skip
            ax.set(xlabel="trial", ylabel=name)
            ax.legend()
        return png_of(figure)


def slice_figure(trials: Sequence[FrozenTrial], objectives: Mapping[str, bool]) -> bytes:
    """Each score by each setting; a row of panels per objective."""
    keys = varied_keys(trials)
    columns = min(len(keys), COLUMNS)
    rows_each = -(-len(keys) // columns)
    with rc_context(LOOK):
        figure = Figure(figsize=(3.3 * columns, 2.6 * rows_each * len(objectives)),
                        layout="constrained")  # fmt: skip
        panels = figure.subplots(rows_each * len(objectives), columns, squeeze=False)
        for index, name in enumerate(objectives):
            block = panels[index * rows_each : (index + 1) * rows_each].flatten()
            for ax, key in zip(block, keys, strict=False):
                _slice(ax, trials, index, key)
                ax.set(xlabel=key, ylabel=name)
            for ax in block[len(keys) :]:
                ax.remove()
        return png_of(figure)


def _slice(ax: Axes, trials: Sequence[FrozenTrial], index: int, key: str) -> None:
    having = [trial for trial in trials if key in trial.params]
    positions, labels = _axis(having, key)
    _points(ax, having, index, {t.number: positions[repr(t.params[key])] for t in having})
    if labels:
        ax.set_xticks(range(len(labels)), labels, rotation=30, ha="right")
    elif _is_log(having, key):
        ax.set_xscale("log")


def _points(
    ax: Axes, trials: Sequence[FrozenTrial], index: int, places: Mapping[int, float]
) -> None:
    for state, color, marker in ((TrialState.COMPLETE, DOT, "o"), (TrialState.PRUNED, CROSS, "x")):
        shown = [t for t in trials if t.state == state and score_of(t, index) is not None]
        if shown:
            ax.plot([places[t.number] for t in shown], [score_of(t, index) for t in shown], marker,
                    color=color, markersize=4, label=state.name.lower())  # fmt: skip


def parallel_figure(trials: Sequence[FrozenTrial], objectives: Mapping[str, bool]) -> bytes:
    """A line per complete trial through all settings and scores; yellow lines are the best.

    Each axis is scaled to its values. A line has a gap where a setting does not vary.
    """
    trials = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    keys = varied_keys(trials)
    first, more = next(iter(objectives.items()))
    order = sorted(trials, key=lambda trial: trial.values[0], reverse=not more)
    with rc_context(LOOK | {"axes.grid": False}):
        axes = [*keys, *objectives]
        figure = Figure(figsize=(1.2 + 1.5 * len(axes), 3.4), layout="constrained")
        ax = figure.subplots()
        columns = [_scaled_setting(ax, x, trials, key) for x, key in enumerate(keys)]
        for index, _ in enumerate(objectives):
            values = {trial.number: trial.values[index] for trial in trials}
            columns.append(_scaled(ax, len(keys) + index, values))
        for rank, trial in enumerate(order):
            share = rank / max(len(order) - 1, 1)
            heights = [column.get(trial.number, float("nan")) for column in columns]
            ax.plot(range(len(axes)), heights, color=GOOD_LAST(share), marker="o", markersize=3)
        ax.set_xticks(range(len(axes)), axes, rotation=15, ha="right")
        ax.set_yticks([])
        ax.set_xlim(-0.3, len(axes) - 0.4)
        ax.set_title(f"complete trials; yellow: best {first}", loc="left")
        return png_of(figure)


def _scaled_setting(ax: Axes, x: int, trials: Sequence[FrozenTrial], key: str) -> dict[int, float]:
    having = [trial for trial in trials if key in trial.params]
    positions, labels = _axis(having, key)
    values = {t.number: positions[repr(t.params[key])] for t in having}
    return _scaled(ax, x, values, labels, is_log=_is_log(having, key))


def _scaled(
    ax: Axes,
    x: int,
    values: Mapping[int, float],
    labels: Sequence[str] = (),
    is_log: bool = False,
) -> dict[int, float]:
    """Heights from 0 to 1 of values on the axis `x`, which gets its labels."""
    low, high = min(values.values()), max(values.values())

    def height(value: float) -> float:
        if high == low:
            return 0.5
        if is_log:
            return _scaled_log(value, low, high)
        return (value - low) / (high - low)

    ax.axvline(x, color="#666666", linewidth=0.8)
    marks = dict(enumerate(labels)) or {low: f"{low:.3g}", high: f"{high:.3g}"}
    for value, text in marks.items():
        if low <= value <= high:
            ax.annotate(text, (x, height(value)), (3, 0), textcoords="offset points",
                        fontsize="x-small", va="center")  # fmt: skip
    return {number: height(value) for number, value in values.items()}


def _scaled_log(value: float, low: float, high: float) -> float:
    return log(value / low) / log(high / low)


def importance_figure(importance: Mapping[str, Mapping[str, float]]) -> bytes:
    """The share of each setting in the importance, as bars; a panel per objective."""
    with rc_context(LOOK):
        rows = max(map(len, importance.values()))
        figure = Figure(figsize=(5.2, (0.9 + 0.3 * rows) * len(importance)), layout="constrained")
        panels = figure.subplots(len(importance), 1, squeeze=False).flatten()
        for ax, (name, shares) in zip(panels, importance.items(), strict=True):
            keys = sorted(shares, key=shares.get)
            ax.barh(keys, [shares[key] for key in keys], color=DOT, height=0.6)
            ax.set(xlim=(0, 1), xlabel=f"share of the importance for {name}")
            ax.grid(visible=False, axis="y")
        return png_of(figure)


def varied_keys(trials: Sequence[FrozenTrial]) -> list[str]:
    """The settings with more than one value, in the order of the space; all if there are none."""
    choices = {key: one.single() for trial in trials for key, one in trial.distributions.items()}
    return [key for key, is_single in choices.items() if not is_single] or list(choices)


def _axis(trials: Sequence[FrozenTrial], key: str) -> tuple[dict[str, float], list[str]]:
    """The place of each value on an axis, and the labels of the places of a choice."""
    values = [trial.params[key] for trial in trials]
    if not trials or not isinstance(trials[0].distributions[key], CategoricalDistribution):
        return {repr(value): value for value in values}, []
    choices = trials[0].distributions[key].choices
    if all(isinstance(x, int | float) for x in choices):
        choices = sorted(choices)
    return {repr(x): i for i, x in enumerate(choices)}, [str(x) for x in choices]


def _is_log(trials: Sequence[FrozenTrial], key: str) -> bool:
    distribution = trials[0].distributions[key] if trials else None
    return isinstance(distribution, FloatDistribution) and distribution.log
