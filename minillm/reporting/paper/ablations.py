"""Tables 4 and 7 of the paper: MiniLLM without one of its parts, and without L_PT."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from minillm.evaluation.result import ROUGE_L, Result
from minillm.reporting.judges import judge_text
from minillm.reporting.paper.layout import (
    Row,
    Table,
    in_sentences,
    interval_column,
    number_column,
    text_column,
)
from minillm.reporting.paper.models import (
    MINILLM,
    NO_LENGTH_NORMALISATION,
    NO_PLAIN_TEXT,
    NO_SINGLE_STEP,
    NO_TEACHER_MIXING,
    Model,
    Scored,
)
from minillm.reporting.paper.scores import (
    EQUAL_DIVERSITY,
    GREEDY,
    JUDGE,
    REPORTED,
    data_column,
    equal_diversity_values,
    mean_over,
    quality_columns,
    score_columns,
    score_values,
    setting_text,
)
from minillm.reporting.paper.tables import CLASSIFICATIONS, DEVIATIONS, Figures

ABLATION_DATA = ("dolly", "e2e")  # of table 4; a model has one of them
PARTS = (NO_LENGTH_NORMALISATION, NO_TEACHER_MIXING, NO_SINGLE_STEP)
# The data sets of the instructions of table 7; the paper has the mean of their GPT-4 scores.
INSTRUCTIONS = ("dolly", "self_inst", "vicuna")


def validation_score(result: Result, name: str) -> float | None:
    """A score of the checkpoint `best` in the validations of its run; None if it is not stored."""
    step = result.training and result.training.best_step
    points = result.run.history if result.run else []
    return next((point.get(name) for point in points if point["step"] == step), None)


def minillm_models(
    scored: Sequence[Scored], belongs: Callable[[Model], bool]
) -> dict[tuple[str, str], dict[Model, dict[str, Scored]]]:
    """The models of MiniLLM that belong to a comparison, by family and size.

    Returns:
        (family, size) -> model -> data set -> its results.
    """
    models: dict = defaultdict(lambda: defaultdict(dict))
    for each in scored:
        if each.model.method == MINILLM and belongs(each.model):
            models[each.model.family, each.model.size][each.model][each.data] = each
    return models


def lacks_parts(model: Model) -> bool:
    """Whether a model is MiniLLM as a whole, or without parts of table 4; with L_PT or without."""
    return not {*model.changes} - {*PARTS, NO_PLAIN_TEXT}


def part_name(model: Model) -> str:
    """The changes of a model, or `full`. L_PT is not a part of table 4."""
    return ", ".join(change for change in model.changes if change != NO_PLAIN_TEXT) or "full"


def table_4(scored: Sequence[Scored], figures: Figures) -> Table | None:
    """The ablation of MiniLLM; None unless a model without one of its parts is there."""
    rows: list[Row] = []
    groups = []
    for (family, size), models in minillm_models(scored, lacks_parts).items():
        if all(part_name(model) == "full" for model in models):
            continue
        scores = {model: each for model, data in models.items() for name in ABLATION_DATA
                  if (each := data.get(name))}  # fmt: skip
        groups += [each.group for each in scores.values()]
        at_equal_diversity = equal_diversity_values([*scores.values()])
        for model, data in models.items():
            reported = {key[3:]: value for key, value in figures.items()
                        if key[:3] == (family, size, part_name(model))}  # fmt: skip
            any_data = next(iter(data.values())).group
            validation = any_data.mean(lambda result: validation_score(result, ROUGE_L))
            of_paper = reported.get(("validation", ROUGE_L))
            row = {
                "family": family,
                "size": size,
                "variant": ", ".join(model.changes) or "full",
                "data": None,
                "validation_mean": validation,
                "validation_reported": of_paper,
                "validation_difference":
                    None if None in (validation, of_paper) else validation - of_paper,
                "validation_reverse_kl":
                    any_data.mean(lambda result: validation_score(result, "reverse_kl")),
            }  # fmt: skip
            if model in scores:
                each = scores[model]
                row |= {"data": each.data}
                row |= score_values(each.group, ROUGE_L, reported.get((each.data, ROUGE_L)))
            rows.append(row | at_equal_diversity.get(model, {}))
    if not rows:
        return None
    columns = [
        text_column("family"), text_column("size"), text_column("variant"),
        number_column("validation_mean", "validation ROUGE-L", ".1f"),
        number_column("validation_reported", "reported", ".1f", is_optional=True),
        number_column("validation_difference", "difference", "+.1f", is_optional=True),
        number_column("validation_reverse_kl", "validation reverse KL", ".3f"),
        data_column(), *score_columns(ROUGE_L), *quality_columns(),
    ]  # fmt: skip
    caption = in_sentences(
        ["MiniLLM without one of its parts", "Validation: ROUGE-L (0 to 100) and reverse KL (nats "
         "per token) of the selected checkpoint on the validation inputs",
         "Other columns: ROUGE-L on the test set" + (f", {setting_text(groups)}" if groups else ""),
         DEVIATIONS, REPORTED, GREEDY, EQUAL_DIVERSITY,
         "The reverse KL falls in every variant of the paper, so it does not show the quality"]
    )  # fmt: skip
    return Table("table4", "Table 4: ablation of MiniLLM", caption, columns, rows)


def table_7(scored: Sequence[Scored], figures: Figures) -> Table | None:
    """MiniLLM with and without L_PT; None unless a model without L_PT has a mean."""
    rows: list[Row] = []
    families = minillm_models(scored, lambda model: model.is_as_in_paper)
    for (family, size), models in families.items():
        if not any(model.changes for model in models):
            continue
        at_equal_diversity = {
            name: equal_diversity_values([data[name] for data in models.values() if name in data])
            for name in INSTRUCTIONS
        }
        for model, data in models.items():
            variant = model.changes[0] if model.changes else "with L_PT"
            reported = {key[3]: value for key, value in figures.items()
                        if key[:3] == (family, size, variant)}  # fmt: skip
            rows.append(
                {"family": family, "size": size, "variant": variant}
                | _classification(data, reported.get("classification"))
                | _instructions(model, data, at_equal_diversity)
                | {"instructions_reported_gpt4": reported.get("instructions")}
            )
    means = ("classification_mean", "instructions_mean")
    if all(row[name] is None for row in rows for name in means):
        return None
    columns = [
        text_column("family"), text_column("size"), text_column("variant"),
        number_column("classification_mean", "accuracy", ".1f"),
        interval_column("classification_ci_low", "classification_ci_high", "95% interval", ".1f"),
        number_column("classification_reported", "reported", ".1f", is_optional=True),
        number_column("classification_difference", "difference", "+.1f", is_optional=True),
        number_column("instructions_mean", "ROUGE-L", ".1f"),
        interval_column("instructions_ci_low", "instructions_ci_high", "95% interval", ".1f"),
        number_column("instructions_greedy", "greedy", ".1f"),
        number_column("instructions_equal_diversity", "equal diversity", ".1f"),
        number_column("instructions_judge", "judge", ".1f", is_optional=True),
        number_column("instructions_reported_gpt4", "reported (GPT-4)", ".1f", is_optional=True),
    ]  # fmt: skip
    caption = in_sentences(
        ["MiniLLM with the loss L_PT on plain text and without it",
         "Accuracy (%): mean of SST-2 and BoolQ, zero-shot; it reads no sampled response",
         "ROUGE-L (0 to 100) at temperature 1, greedy, and at equal diversity: means of DollyEval, "
         "SelfInst and VicunaEval",
         "95% interval: bootstrap over inputs", REPORTED,
         "Reported (GPT-4): the mean score by GPT-4 of the same three data sets, which is not "
         "comparable with ROUGE-L",
         judge_text(result for models in families.values() for data in models.values()
                    for each in data.values() for result in each.group.results),
         "A mean is empty if the result of one of its data sets is missing"]
    )  # fmt: skip
    return Table("table7", "Table 7: the loss L_PT on plain text", caption, columns, rows)


def _classification(data: dict[str, Scored], reported: float | None) -> Row:
    interval = mean_over([data.get(name) for name in CLASSIFICATIONS], "accuracy")
    mean = interval and interval.mean
    return {
        "classification_mean": mean,
        "classification_ci_low": interval and interval.low,
        "classification_ci_high": interval and interval.high,
        "classification_reported": reported,
        "classification_difference": None if None in (mean, reported) else mean - reported,
    }


def _instructions(model: Model, data: dict[str, Scored], at_equal_diversity: dict) -> Row:
    interval = mean_over([data.get(name) for name in INSTRUCTIONS], ROUGE_L)
    greedy = [data[name].group.greedy(ROUGE_L) if name in data else None for name in INSTRUCTIONS]
    equal = [at_equal_diversity[name].get(model, {}).get("equal_diversity")
             for name in INSTRUCTIONS]  # fmt: skip
    judged = mean_over([data.get(name) for name in INSTRUCTIONS], JUDGE)
    return {
        "instructions_judge": judged and judged.mean,
        "instructions_mean": interval and interval.mean,
        "instructions_ci_low": interval and interval.low,
        "instructions_ci_high": interval and interval.high,
        "instructions_greedy": _mean(greedy),
        "instructions_equal_diversity": _mean(equal),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    return None if None in values else sum(values) / len(values)
