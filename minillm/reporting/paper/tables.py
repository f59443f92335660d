"""Tables 1, 2 and 3 of the paper: quality, calibration and diversity.

A function returns None if no result has the measures of its table.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from minillm.evaluation.result import ROUGE_L
from minillm.reporting.judges import judge_text
from minillm.reporting.paper.layout import (
    Column,
    Row,
    Table,
    in_sentences,
    number_column,
    text_column,
)
from minillm.reporting.paper.models import Model, Scored
from minillm.reporting.paper.scores import (
    DATA_SETS,
    EQUAL_DIVERSITY,
    GREEDY,
    JUDGE,
    JUDGE_OF_PAPER,
    REPORTED,
    data_column,
    equal_diversity_values,
    judge_columns,
    model_columns,
    model_values,
    quality_columns,
    score_columns,
    score_values,
    setting_text,
)

DEVIATIONS = (
    "± seeds, ± runs: standard deviation of the mean over sampling seeds, and over training runs "
    "with different seeds. 95% interval: bootstrap over inputs"
)
DIVERSITY_DATA = ("dolly", "self_inst", "e2e")  # of table 3
CLASSIFICATIONS = {"sst2": "SST-2", "boolq": "BoolQ"}

Figures = Mapping[tuple[str, ...], float]


def reported_figure(figures: Figures, model: Model, *rest: str) -> float | None:
    """The figure of the paper for a model; None for a variant that the paper does not have."""
    if not model.is_as_in_paper:
        return None
    return figures.get((model.family, model.size, model.method, *rest))


def quality_models(scored: Sequence[Scored]) -> list[Scored]:
    """The results with ROUGE-L on the data sets of table 1, without ablations, in its order."""
    data_sets = list(DATA_SETS)
    chosen = [
        each
        for each in scored
        if each.data in DATA_SETS
        and each.group.score(ROUGE_L) is not None
        and not each.model.is_ablation
    ]
    families = list(dict.fromkeys(each.model.family for each in chosen))
    return sorted(
        chosen,
        key=lambda each: (families.index(each.model.family), data_sets.index(each.data)),
    )


def compared_at_equal_diversity(
    scored: Sequence[Scored],
) -> dict[tuple[Model, str], dict[str, float | None]]:
    """The values at equal diversity of each model and data set; teachers are not compared."""
    students = defaultdict(list)
    for each in scored:
        if not each.model.is_teacher:
            students[each.model.family, each.model.size, each.data].append(each)
    return {
        (model, data): values
        for (_, _, data), group in students.items()
        for model, values in equal_diversity_values(group).items()
    }


def table_1(scored: Sequence[Scored], figures: Figures) -> Table | None:
    """Quality: ROUGE-L of each model on each data set beside the reported figure."""
    chosen = quality_models(scored)
    if not chosen:
        return None
    at_equal_diversity = compared_at_equal_diversity(chosen)
    rows = [
        {"family": each.model.family, "data": each.data, **model_values(each.model)}
        | score_values(each.group, ROUGE_L,
                       reported_figure(figures, each.model, each.data, ROUGE_L))
        | at_equal_diversity.get((each.model, each.data), {})
        | _judge_values(each, figures)
        for each in chosen
    ]  # fmt: skip
    columns = [text_column("family"), data_column(), *model_columns()[1:],
               *score_columns(ROUGE_L), *quality_columns(), *judge_columns()]  # fmt: skip
    judge = judge_text(result for each in chosen for result in each.group.results)
    caption = in_sentences(
        ["ROUGE-L (0 to 100), " + setting_text([each.group for each in chosen]), DEVIATIONS,
         REPORTED, GREEDY, EQUAL_DIVERSITY,
         f"{judge}, in % of those of the references. GPT-4, reported: the scores of the paper, "
         "whose wording is not known, so there is no difference" if judge else ""]
    )  # fmt: skip
    return Table("table1", "Table 1: quality", caption, columns, rows)


def _judge_values(each: Scored, figures: Figures) -> dict[str, float | None]:
    """The score of a judge, and the reported one if there is a score."""
    is_judged = each.group.score(JUDGE) is not None
    reported = reported_figure(figures, each.model, each.data, JUDGE_OF_PAPER)
    values = score_values(each.group, JUDGE, reported if is_judged else None, f"{JUDGE}_")
    del values[f"{JUDGE}_difference"]  # another judge, or at least another wording
    return values


def table_1_overview(scored: Sequence[Scored], figures: Figures) -> Table | None:
    """Table 1 in the layout of the paper: one row per model, one column per data set."""
    rows: dict[Model, dict] = {}
    for each in quality_models(scored):
        row = rows.setdefault(each.model, model_values(each.model))
        reported = reported_figure(figures, each.model, each.data, ROUGE_L)
        values = score_values(each.group, ROUGE_L, reported, f"{each.data}_")
        row |= {name: values[name] for name in (f"{each.data}_mean", f"{each.data}_reported")}
    if not rows:
        return None
    ordered = [rows[model] for model in dict.fromkeys(s.model for s in scored) if model in rows]
    data_sets = [data for data in DATA_SETS if any(f"{data}_mean" in row for row in ordered)]
    columns = [*model_columns(), *map(_ours_and_reported, data_sets)]
    caption = (
        "ROUGE-L at temperature 1 (0 to 100). In parentheses: the figure of the paper, if one was "
        "verified. Table 1 has deviations, intervals, greedy decoding and equal diversity."
    )
    return Table("table1_overview", "Table 1 in short", caption, columns, ordered)


def _ours_and_reported(data: str) -> Column:
    def cell(row: Row) -> str:
        ours, reported = row.get(f"{data}_mean"), row.get(f"{data}_reported")
        texts = ["" if ours is None else f"{ours:.1f}",
                 "" if reported is None else f"({reported:.1f})"]  # fmt: skip
        return " ".join(filter(None, texts))

    return Column(DATA_SETS[data], cell)


def table_2(scored: Sequence[Scored], figures: Figures) -> Table | None:
    """Calibration: accuracy and expected calibration error of classifications."""
    chosen = [
        each for each in scored
        if each.group.score("accuracy") is not None or each.group.score("ece") is not None
    ]  # fmt: skip
    if not chosen:
        return None
    rows = [
        model_values(each.model) | {"data": each.data}
        | _pair_values(each, ("ece", "accuracy"), figures)
        for each in chosen
    ]  # fmt: skip
    columns = [*model_columns(), text_column("data", "data", CLASSIFICATIONS),
               *score_columns("ece", "ece_", is_sampled=False),
               *score_columns("accuracy", "accuracy_", is_sampled=False)]  # fmt: skip
    caption = in_sentences(
        ["Zero-shot classification by label words. ECE: expected calibration error (0 to 1, lower "
         "is better). Accuracy: share of right labels (%)",
         "Both read no sampled response, so greedy decoding and equal diversity do not apply",
         "95% interval: bootstrap over inputs", REPORTED,
         "The prompts of the paper are not known: compare models with each other, not with the "
         "paper"]
    )  # fmt: skip
    return Table("table2", "Table 2: calibration", caption, columns, rows)


def table_3(scored: Sequence[Scored], figures: Figures) -> Table | None:
    """Diversity: distinct 4-grams and the loss on the references, beside the quality."""
    chosen = [
        each for each in quality_models(scored)
        if each.data in DIVERSITY_DATA
        and each.group.score("lm_loss") is not None
        and each.group.score("distinct_4") is not None
    ]  # fmt: skip
    if not chosen:
        return None
    at_equal_diversity = compared_at_equal_diversity(chosen)
    rows = [
        {"family": each.model.family, "data": each.data, **model_values(each.model)}
        | _pair_values(each, ("distinct_4", "lm_loss"), figures)
        | score_values(each.group, ROUGE_L, None, "rougeL_")
        | at_equal_diversity.get((each.model, each.data), {})
        for each in chosen
    ]  # fmt: skip
    columns = [text_column("family"), data_column(), *model_columns()[1:],
               *score_columns("distinct_4", "distinct_4_"),
               number_column("distinct_4_greedy", "distinct 4-grams, greedy", ".1f"),
               *score_columns("lm_loss", "lm_loss_", is_sampled=False),
               number_column("rougeL_mean", "ROUGE-L", ".1f"),
               *quality_columns("rougeL_")]  # fmt: skip
    caption = in_sentences(
        ["Distinct 4-grams: share of different 4-grams of words among those of all responses (%), "
         + setting_text([each.group for each in chosen]),
         "LM loss: cross-entropy with the first reference, nats per token; it reads no response",
         DEVIATIONS, REPORTED, "ROUGE-L: at temperature 1", GREEDY, EQUAL_DIVERSITY]
    )  # fmt: skip
    return Table("table3", "Table 3: diversity", caption, columns, rows)


def _pair_values(each: Scored, metrics: Sequence[str], figures: Figures) -> dict:
    """The values of several metrics; the names of their columns begin with that of the metric."""
    values = {}
    for metric in metrics:
        reported = reported_figure(figures, each.model, each.data, metric)
        values |= score_values(each.group, metric, reported, f"{metric}_")
    return values
