"""Figure 7 of the paper, and figure 15: the gain over SFT by the length of the reference."""

from collections.abc import Sequence

from matplotlib import rc_context
from matplotlib.axes import Axes

from minillm.evaluation.result import ROUGE_L
from minillm.evaluation.significance import holm, permutation_p
from minillm.evaluation.statistics import paired_bootstrap
from minillm.reporting.groups import Group, unique
from minillm.reporting.look import LOOK
from minillm.reporting.paper.chart import Chart, add_legend, make_panels
from minillm.reporting.paper.layout import Row
from minillm.reporting.paper.models import METHODS, Scored
from minillm.reporting.paper.scores import DATA_SETS
from minillm.reporting.paper.sizes import styles_of_methods

SFT = METHODS["sft"]
SPLIT = ("sinst", "uinst")
# The subset of the files of the Hub, which are evaluated without a limit of the length.
RELEASED = (11, None)
_WIDTH = 0.8  # of the points of one subset, in units of the axis


def figure_7(scored: Sequence[Scored]) -> Chart | None:
    """ROUGE-L minus that of SFT, one panel per student and data set; needs several subsets."""
    chosen = [each for each in scored if _split_of(each) and not each.model.is_ablation]
    rows = [row for each in chosen if (row := _row(each, chosen))]
    panels = [
        panel for panel in unique(map(_panel, rows))
        if len({row["subset"] for row in rows if _panel(row) == panel}) > 1
    ]  # fmt: skip
    if not panels:
        return None
    rows = [row for row in rows if _panel(row) in panels]
    corrected = holm([row["p"] for row in rows])
    rows = [row | {"p_corrected": p} for row, p in zip(rows, corrected, strict=True)]
    title = "Figure 7: gain over SFT by the length of the reference"
    with rc_context(LOOK):
        titles = [f"{family} {size} on {DATA_SETS[data]}" for family, size, data in panels]
        figure, axes = make_panels(titles, title)
        styles = styles_of_methods(chosen)
        for ax, panel in zip(axes, panels, strict=True):
            _draw(ax, [row for row in rows if _panel(row) == panel], styles)
        add_legend(figure, axes)
    caption = (
        "ROUGE-L of a method minus ROUGE-L of SFT on the same inputs at temperature 1, with the "
        "95% paired bootstrap interval over inputs, for inputs whose first reference has this "
        "number of tokens. The csv has two-sided p-values from a paired permutation test, also "
        f"corrected for all {len(rows)} comparisons of this figure (Holm). The paper has S-NI in "
        "figure 7 and UnNI in figure 15."
    )
    return Chart("figure7", title, caption, figure, rows)


def _split_of(each: Scored) -> tuple[str, int, int | None] | None:
    """The data set and the lengths of its subset; None if no subset of S-NI or UnNI was scored.

    A subset is named after its data set, such as `sinst_0_5`.
    """
    base = next((name for name in SPLIT if each.data == name or each.data.startswith(f"{name}_")),
                None)  # fmt: skip
    if base is None or each.group.score(ROUGE_L) is None:
        return None
    config = (each.group.results[0].config or {}).get("data") or {}
    low, high = config.get("min_reference_length") or 0, config.get("max_reference_length")
    if (low, high) == (0, None):
        return (base, *RELEASED) if each.data == base else None
    return base, low, high


def _row(each: Scored, chosen: Sequence[Scored]) -> Row | None:
    """The values of a method; None for a teacher, SFT, and methods without SFT to compare with."""
    split, model = _split_of(each), each.model
    if model.is_teacher or model.method == SFT:
        return None
    student = (model.family, model.size)
    sft = next((s for s in chosen if _split_of(s) == split and s.model.method == SFT
                and (s.model.family, s.model.size) == student), None)  # fmt: skip
    if sft is None:
        return None
    base, low, high = split
    difference = _difference(each.group, sft.group)
    return difference and {
        "family": model.family, "size": model.size, "method": model.method, "name": model.name,
        "data": base, "subset": f"{low} to {high}" if high is not None else f"{low} or more",
        "from": low, "rougeL": each.group.score(ROUGE_L), "sft": sft.group.score(ROUGE_L),
    } | difference  # fmt: skip


def _difference(first: Group, baseline: Group) -> dict | None:
    values = [group.per_input(ROUGE_L) for group in (first, baseline)]
    if None in values or len(values[0][0]) != len(values[1][0]):
        return None
    scores = values[0][0], values[1][0]
    interval, p = paired_bootstrap(*scores), permutation_p(*scores)
    return {"difference": interval.mean, "ci_low": interval.low, "ci_high": interval.high, "p": p}


def _panel(row: Row) -> tuple[str, str, str]:
    return row["family"], row["size"], row["data"]


def _draw(ax: Axes, rows: Sequence[Row], styles: dict) -> None:
    subsets = unique(row["subset"] for row in sorted(rows, key=lambda row: row["from"]))
    names = unique(row["name"] for row in rows)
    for i, name in enumerate(names):
        points = [row for row in rows if row["name"] == name]
        shift = _WIDTH * ((i + 0.5) / len(names) - 0.5)
        errors = [[row["difference"] - row["ci_low"] for row in points],
                  [row["ci_high"] - row["difference"] for row in points]]  # fmt: skip
        style = styles[points[0]["method"]] | {"linestyle": "none"}
        ax.errorbar([subsets.index(row["subset"]) + shift for row in points],
                    [row["difference"] for row in points], errors, capsize=2.5, linewidth=1.8,
                    markersize=6, label=name, **style)  # fmt: skip
    ax.axhline(0, color="#777777", linewidth=1)
    ax.set_xticks(range(len(subsets)), subsets)
    ax.set_xlim(-0.5, len(subsets) - 0.5)
    ax.set_xlabel("tokens of the reference")
    ax.set_ylabel("ROUGE-L minus that of SFT (points)")
