"""Quality against diversity: a figure for each family and data set, with a panel for each size."""

from collections.abc import Sequence

from minillm.evaluation.frontier import DIVERSITY
from minillm.evaluation.metrics import METRICS
from minillm.evaluation.result import ROUGE_L
from minillm.reporting.frontier_figure import frontier_figure
from minillm.reporting.frontiers import points_of
from minillm.reporting.groups import Group, unique
from minillm.reporting.paper.chart import Chart
from minillm.reporting.paper.layout import Row
from minillm.reporting.paper.models import Scored
from minillm.reporting.paper.scores import DATA_SETS
from minillm.reporting.paper.tables import quality_models


def frontier_charts(scored: Sequence[Scored]) -> list[Chart]:
    """The frontiers of all models, with the teacher of the family in each panel."""
    chosen = [each for each in quality_models(scored) if _has_points(each)]
    charts = []
    for family, data in unique((each.model.family, each.data) for each in chosen):
        of_data = [s for s in chosen if (s.model.family, s.data) == (family, data)]
        if any(not each.model.is_teacher for each in of_data):
            charts.append(_chart(family, data, of_data))
    return charts


def _has_points(each: Scored) -> bool:
    return any(ROUGE_L in point.values for point in points_of(each.group))


def _chart(family: str, data: str, scored: Sequence[Scored]) -> Chart:
    title = f"Quality and diversity: {family} on {DATA_SETS[data]}"
    panels = _panels(scored)
    figure = frontier_figure(panels, METRICS[ROUGE_L])
    if len({group.data for group in panels}) == 1:  # then the panel has no title yet
        figure.axes[-1].set_title(panels[0].data, loc="left", fontweight="bold")
    caption = (
        "Each line is a model at several sampling temperatures: a higher line has the better "
        "ROUGE-L at the same diversity. Large marker: temperature 1. Star: greedy decoding. A "
        "method that only makes the student sharper moves along its line."
    )
    rows: list[Row] = [
        {
            "family": family, "data": data, "size": each.model.size, "method": each.model.name,
            "temperature": point.temperature, "top_p": point.top_p,
            "diversity": point.values[DIVERSITY], "rougeL": point.values[ROUGE_L],
        }
        for each in scored
        for point in points_of(each.group)
        if ROUGE_L in point.values
    ]  # fmt: skip
    name = "".join(c if c.isalnum() else "_" for c in family.lower())
    return Chart(f"frontier_{name}_{data}", title, caption, figure, rows)


def _panels(scored: Sequence[Scored]) -> list[Group]:
    """The models of each size, and the teachers, under the heading of their panel."""
    teachers = [each for each in scored if each.model.is_teacher]
    students = [each for each in scored if not each.model.is_teacher]
    sizes = {each.model: f" {each.model.size}" for each in teachers} if len(teachers) > 1 else {}
    return [
        Group(f"{each.model.family} {size} on {DATA_SETS[each.data]}",
              f"{each.model.name}{sizes.get(each.model, '')}", each.group.results)
        for size in unique(each.model.size for each in students)
        for each in [*teachers, *(s for s in students if s.model.size == size)]
    ]  # fmt: skip
