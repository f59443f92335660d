"""Figures 6, 8 and 16 of the paper: exposure bias, and the training of MiniLLM."""

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes

from minillm.evaluation.result import ROUGE_L
from minillm.reporting.groups import unique
from minillm.reporting.look import LOOK
from minillm.reporting.paper.ablations import (
    lacks_parts,
    minillm_models,
    part_name,
    validation_score,
)
from minillm.reporting.paper.chart import Chart, add_legend, make_panels, numbered_styles
from minillm.reporting.paper.layout import Row
from minillm.reporting.paper.models import NO_PLAIN_TEXT, NO_TEACHER_MIXING, Model, Scored
from minillm.reporting.paper.sizes import styles_of_methods

_MARKED = 30  # points of a line with markers


def figure_6(scored: Sequence[Scored]) -> Chart | None:
    """The exposure bias against the length of the response, one panel per student and data set."""
    chosen = [
        each for each in scored
        if not each.model.is_teacher and not each.model.is_ablation
        and any(result.exposure_bias for result in each.group.results)
    ]  # fmt: skip
    if not chosen:
        return None
    rows = [row for each in chosen for row in _exposure_rows(each)]
    panels = unique((s.model.family, s.model.size, s.data) for s in chosen)
    title = "Figure 6: exposure bias against the length of the response"
    with rc_context(LOOK):
        figure, axes = make_panels([f"{family} {size}, prompts of {data}"
                                    for family, size, data in panels], title)  # fmt: skip
        styles = styles_of_methods(chosen)
        for ax, panel in zip(axes, panels, strict=True):
            for each in chosen:
                if (each.model.family, each.model.size, each.data) == panel:
                    _draw_exposure(ax, each, styles[each.model.method])
            ax.axhline(0, color="#777777", linewidth=0.8)
            ax.set_xlabel("length l of the response (tokens)")
            ax.set_ylabel("excess accumulated error, ExAccErr(l) (%)")
        add_legend(figure, axes)
    caption = (
        "ExAccErr(l): by how many percent the errors that a student accumulates up to length l on "
        "its own responses exceed those on responses of the teacher; 0 is no exposure bias. Bands: "
        "95% bootstrap intervals over inputs; one line per training run."
    )
    return Chart("figure6", title, caption, figure, rows)


def _exposure_rows(each: Scored) -> list[Row]:
    return [
        {
            "family": each.model.family, "size": each.model.size, "method": each.model.name,
            "data": each.data, "training_seed": result.training_seed, "length": i + 1,
            "excess_error": bias.excess_error[i], "ci_low": bias.ci_low[i],
            "ci_high": bias.ci_high[i], "student_share": bias.student_share[i],
            "teacher_share": bias.teacher_share[i],
        }
        for result in each.group.results
        if (bias := result.exposure_bias)
        for i in range(len(bias.excess_error))
    ]  # fmt: skip


def _draw_exposure(ax: Axes, each: Scored, style: dict) -> None:
    """A line with a band for each training run; missing values are gaps."""
    color, line = style["color"], style["linestyle"]
    for result in each.group.results:
        if bias := result.exposure_bias:
            lengths = np.arange(1, len(bias.excess_error) + 1)
            lists = (bias.excess_error, bias.ci_low, bias.ci_high)
            mean, low, high = (np.array(values, dtype=float) for values in lists)  # None is NaN
            ax.plot(lengths, mean, color=color, linestyle=line, label=each.model.name)
            ax.fill_between(lengths, low, high, color=color, alpha=0.15, linewidth=0)


def figure_8(scored: Sequence[Scored]) -> Chart | None:
    """The reverse KL over training for MiniLLM and for MiniLLM without its parts."""
    rows: list[Row] = []
    for models in minillm_models(scored, lacks_parts).values():
        if any(part_name(model) != "full" for model in models):
            rows += [row for model, data in models.items()
                     for row in _history_rows(model, next(iter(data.values())))]  # fmt: skip
    if not rows:
        return None
    panels = unique((row["family"], row["size"]) for row in rows)
    title = "Figure 8: reverse KL during the training of MiniLLM"
    with rc_context(LOOK):
        figure, axes = make_panels([f"{family} {size}" for family, size in panels], title)
        styles = numbered_styles(unique(row["variant"] for row in rows))
        for ax, panel in zip(axes, panels, strict=True):
            of_panel = [row for row in rows if (row["family"], row["size"]) == panel]
            for variant, seed in unique((row["variant"], row["training_seed"]) for row in of_panel):
                line = [row for row in of_panel
                        if (row["variant"], row["training_seed"]) == (variant, seed)]  # fmt: skip
                marker = 3.5 if len(line) <= _MARKED else 0
                x, y = ([row[name] for row in line] for name in ("step", "reverse_kl"))
                ax.plot(x, y, label=variant, markersize=marker, linewidth=1.6, **styles[variant])
            ax.set_xlabel("training steps")
            ax.set_ylabel("validation reverse KL (nats per token)")
        add_legend(figure, axes)
    caption = (
        "Reverse KL from the teacher on validation prompts, nats per token of sampled responses; "
        "one line per training run. A low reverse KL alone does not show quality: see table 4."
    )
    return Chart("figure8", title, caption, figure, rows)


def _history_rows(model: Model, each: Scored) -> list[Row]:
    return [
        {
            "family": model.family, "size": model.size,
            "variant": ", ".join(model.changes) or "full",
            "training_seed": result.training_seed, "step": point["step"],
            "reverse_kl": point["reverse_kl"],
        }
        for result in each.group.results
        for point in (result.run.history if result.run else [])
        if point.get("reverse_kl") is not None
    ]  # fmt: skip


def figure_16(scored: Sequence[Scored]) -> Chart | None:
    """The validation score against alpha, the weight of the teacher in the mixture."""
    rows: list[Row] = []
    for models in minillm_models(scored, _differs_in_alpha).values():
        if len({model.alpha for model in models}) > 1:
            rows += [row for model, data in models.items()
                     for row in _alpha_rows(model, next(iter(data.values())))]  # fmt: skip
    if not rows:
        return None
    title = "Figure 16: validation score against the share of the teacher"
    names = unique(row["model"] for row in rows)
    with rc_context(LOOK):
        figure, (ax,) = make_panels([""], title)
        styles = numbered_styles(names)
        for name in names:
            of_model = [row for row in rows if row["model"] == name]
            alphas = sorted({row["alpha"] for row in of_model})
            means = [np.mean([r["rougeL"] for r in of_model if r["alpha"] == a]) for a in alphas]
            ax.plot(alphas, means, label=name, linewidth=1.6, markersize=6, **styles[name])
            ax.plot([row["alpha"] for row in of_model], [row["rougeL"] for row in of_model],
                    linestyle="none", marker="o", markersize=3.5, markerfacecolor="none",
                    color=styles[name]["color"])  # fmt: skip
        ax.set_xlabel("alpha: weight of the teacher in the sampled mixture")
        ax.set_ylabel("validation ROUGE-L (0 to 100)")
        add_legend(figure, [ax])
    caption = (
        "ROUGE-L of the selected checkpoint on the validation inputs at temperature 1. Alpha 0: "
        "the student alone writes the responses; the paper uses 0.2. Open dots: single training "
        "runs; line: their mean."
    )
    return Chart("figure16", title, caption, figure, rows)


def _differs_in_alpha(model: Model) -> bool:
    return model.alpha is not None and all(
        change in (NO_PLAIN_TEXT, NO_TEACHER_MIXING) or change.startswith("alpha ")
        for change in model.changes
    )


def _alpha_rows(model: Model, each: Scored) -> list[Row]:
    without = f", {NO_PLAIN_TEXT}" if NO_PLAIN_TEXT in model.changes else ""
    return [
        {
            "model": f"{model.family} {model.size}{without}", "alpha": model.alpha,
            "training_seed": result.training_seed, "rougeL": score,
        }
        for result in each.group.results
        if (score := validation_score(result, ROUGE_L)) is not None
    ]  # fmt: skip
