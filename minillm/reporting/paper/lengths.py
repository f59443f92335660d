"""Figure 7 of the paper, and figure 15: the gain over SFT by the length of the reference."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes

from minillm.evaluation.reference_metrics import LMLoss
from minillm.evaluation.result import ROUGE_L
from minillm.evaluation.significance import holm, permutation_p
from minillm.evaluation.statistics import paired_bootstrap
from minillm.reporting.groups import unique
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


@dataclass(frozen=True)
class Subset:
    """The inputs of a data set whose first reference has `low` to `high` tokens, without EOS.

    Attributes:
        data: the data set.
        low, high: the shortest and the longest reference; None for no limit.
        inputs: which inputs of a result belong to the subset, `[N]`; None if a result has the
            scores of this subset only.
    """

    data: str
    low: int
    high: int | None
    inputs: np.ndarray | None = None

    @property
    def name(self) -> str:
        return f"{self.low} to {self.high}" if self.high is not None else f"{self.low} or more"


def figure_7(scored: Sequence[Scored]) -> Chart | None:
    """ROUGE-L minus that of SFT, one panel per student and data set; needs several subsets.

    S-NI and UnNI have the subsets of the paper. Without scores of them, the inputs of each other
    data set are divided in three subsets of about the same size.
    """
    chosen = [each for each in scored if not each.model.is_ablation and not each.model.is_teacher]
    rows = _rows(chosen, _subset_of_paper) or _rows(chosen, _thirds)
    if not rows:
        return None
    panels = unique(map(_panel, rows))
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


def _subset_of_paper(each: Scored) -> list[Subset]:
    """The subset of S-NI or UnNI: a data set of its own, such as `sinst_0_5`."""
    base = next((name for name in SPLIT if each.data == name or each.data.startswith(f"{name}_")),
                None)  # fmt: skip
    if base is None:
        return []
    config = (each.group.results[0].config or {}).get("data") or {}
    low, high = config.get("min_reference_length") or 0, config.get("max_reference_length")
    if (low, high) == (0, None):
        return [Subset(base, *RELEASED)] if each.data == base else []
    return [Subset(base, low, high)]


def _thirds(each: Scored) -> list[Subset]:
    """Three subsets of about the same size, by the weights of the LM loss: lengths with EOS."""
    losses = each.group.per_input(LMLoss.name) if each.data in DATA_SETS else None
    if losses is None or losses[1] is None:
        return []
    lengths = losses[1].round().astype(int) - 1  # without EOS
    first, second = (int(x) for x in np.quantile(lengths, [1 / 3, 2 / 3], method="lower"))
    if not first < second < lengths.max():
        return []
    limits = ((0, first), (first + 1, second), (second + 1, None))
    return [
        Subset(
            each.data,
            low,
            high,
            (lengths >= low) & (lengths <= (lengths.max() if high is None else high)),
        )
        for low, high in limits
    ]


def _rows(chosen: Sequence[Scored], subsets_of: Callable[[Scored], list[Subset]]) -> list[Row]:
    """The rows of the students and data sets that have scores of SFT and of several subsets."""
    rows = [row for each in chosen for row in _rows_of(each, chosen, subsets_of(each))]
    subsets = defaultdict(set)
    for row in rows:
        subsets[_panel(row)].add(row["subset"])
    return [row for row in rows if len(subsets[_panel(row)]) > 1]


def _rows_of(each: Scored, chosen: Sequence[Scored], subsets: Sequence[Subset]) -> list[Row]:
    """The values of a method on each subset; none for SFT, and without SFT to compare with."""
    model = each.model
    student = (each.data, model.family, model.size)
    sft = next((s for s in chosen if s.model.method == SFT
                and (s.data, s.model.family, s.model.size) == student), None)  # fmt: skip
    if sft is None or model.method == SFT:
        return []
    scores = [group.per_input(ROUGE_L) for group in (each.group, sft.group)]
    if None in scores or len(scores[0][0]) != len(scores[1][0]):
        return []
    return [
        {
            "family": model.family, "size": model.size, "method": model.method, "name": model.name,
            "data": subset.data, "subset": subset.name, "from": subset.low,
        } | _difference(*(x[0] if subset.inputs is None else x[0][subset.inputs] for x in scores))
        for subset in subsets
    ]  # fmt: skip


def _difference(scores: np.ndarray, baseline: np.ndarray) -> dict:
    interval, p = paired_bootstrap(scores, baseline), permutation_p(scores, baseline)
    return {
        "inputs": len(scores), "rougeL": float(scores.mean()), "sft": float(baseline.mean()),
        "difference": interval.mean, "ci_low": interval.low, "ci_high": interval.high, "p": p,
    }  # fmt: skip


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
