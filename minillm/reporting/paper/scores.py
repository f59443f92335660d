"""The values of a score in a row of a table, and the columns that show them."""

from collections.abc import Mapping, Sequence
from statistics import stdev

import numpy as np

from minillm.evaluation.equal_diversity import Curve, quality_at
from minillm.evaluation.frontier import DIVERSITY
from minillm.evaluation.metrics import METRICS
from minillm.evaluation.result import ROUGE_L
from minillm.evaluation.statistics import (
    CONFIDENCE,
    RESAMPLES,
    Interval,
    resample,
    weighted_mean,
)
from minillm.reporting.frontiers import common_range, curve_of, round_values, samples_of
from minillm.reporting.groups import Group
from minillm.reporting.paper.layout import Column, Row, interval_column, number_column, text_column
from minillm.reporting.paper.models import Model, Scored

# The data sets of table 1 with their names in the paper, and E2E NLG, on which this project repeats
# the paper's experiments with small models (scripts/e2e/paper.sh).
DATA_SETS = {
    "dolly": "DollyEval",
    "self_inst": "SelfInst",
    "vicuna": "VicunaEval",
    "sinst": "S-NI",
    "uinst": "UnNI",
    "e2e": "E2E NLG",
}
# The metric of a language model that scores responses; the paper reports the scores of GPT-4.
JUDGE, JUDGE_OF_PAPER = "judge", "gpt4"
EQUAL_DIVERSITY = (
    "Equal diversity: ROUGE-L where the sampled responses have the diversity after `at` "
    "(share of distinct 4-grams among the responses to a prompt), on straight lines between the "
    "temperatures of the frontier; students of one size and data set are compared at the same "
    "diversity; empty without frontiers (evaluation.frontier) of two students"
)
GREEDY = "Greedy: ROUGE-L of greedy decoding"
REPORTED = (
    "Reported: the figure of the paper (arXiv 2306.08543). Difference: ours minus reported. A cell "
    "is empty where no figure was verified, and a column without any figure is left out"
)


def model_values(model: Model) -> dict[str, str]:
    """The first cells of a row."""
    return {"family": model.family, "size": model.size, "method": model.name}


def model_columns() -> list[Column]:
    return [text_column("family"), text_column("size"), text_column("method")]


def data_column() -> Column:
    return text_column("data", "data", DATA_SETS)


def score_values(
    group: Group, metric: str, reported: float | None, prefix: str = ""
) -> dict[str, float | None]:
    """Mean, deviations and interval of a metric, greedy decoding, and the reported figure.

    `std_sampling` is over sampling seeds (averaged over training runs), `std_training` over
    training runs; None if there is only one.
    """
    runs = group.runs(metric) or []
    mean, interval = group.score(metric), group.interval(metric)
    deviations = [run.std for run in runs]
    values = {
        "mean": mean,
        "std_sampling": None if not runs or None in deviations else sum(deviations) / len(runs),
        "std_training": stdev(run.mean for run in runs) if len(runs) > 1 else None,
        "training_runs": len(runs) or None,
        "ci_low": interval and interval.low,
        "ci_high": interval and interval.high,
        "reported": reported,
        "difference": None if mean is None or reported is None else mean - reported,
        "greedy": group.greedy(metric),
    }
    return {f"{prefix}{name}": value for name, value in values.items()}


def score_columns(metric: str, prefix: str = "", *, is_sampled: bool = True) -> list[Column]:
    """The columns of `score_values`, without greedy decoding."""
    label, form = METRICS[metric].label, METRICS[metric].form
    deviations = [
        number_column(f"{prefix}std_sampling", "± seeds", form, is_optional=True),
        number_column(f"{prefix}std_training", "± runs", form, is_optional=True),
    ]
    return [
        number_column(f"{prefix}mean", label, form),
        *(deviations if is_sampled else deviations[1:]),
        interval_column(f"{prefix}ci_low", f"{prefix}ci_high", "95% interval", form),
        number_column(f"{prefix}reported", "reported", form, is_optional=True),
        number_column(f"{prefix}difference", "difference", f"+{form}", is_optional=True),
    ]


def judge_columns() -> list[Column]:
    """The score of a judge in table 1; left out if no response was judged."""
    return [
        number_column("judge_mean", "judge", ".1f", is_optional=True),
        interval_column("judge_ci_low", "judge_ci_high", "95% interval", ".1f", is_optional=True),
        number_column("judge_reported", "GPT-4, reported", ".1f", is_optional=True),
    ]


def quality_columns(prefix: str = "") -> list[Column]:
    """ROUGE-L of greedy decoding and at equal diversity, beside a score at temperature 1."""
    form = METRICS[ROUGE_L].form
    return [
        number_column(f"{prefix}greedy", "greedy", form),
        Column("equal diversity", _at_diversity),
    ]


def _at_diversity(row: Row) -> str:
    """Such as `25.1 at 0.85`."""
    if row.get("equal_diversity") is None:
        return ""
    return f"{row['equal_diversity']:{METRICS[ROUGE_L].form}} at {row[DIVERSITY]:.2f}"


def equal_diversity_values(students: Sequence[Scored]) -> dict[Model, dict[str, float | None]]:
    """ROUGE-L of each student at a diversity that all of them have.

    Args:
        students: students of one size, on one data set.

    Returns:
        Empty values for all of them if fewer than two have a frontier, if their frontiers have
        other numbers of responses, or if no diversity is common to all of them.
    """
    names = ("equal_diversity", "equal_diversity_ci_low", "equal_diversity_ci_high", DIVERSITY)
    values = {each.model: dict.fromkeys(names) for each in students}
    curves = {each.model: curve_of(each.group, ROUGE_L) for each in students}
    curves = {model: curve for model, curve in curves.items() if curve}
    samples = {samples_of(each.group) for each in students if each.model in curves}
    diversity = common_diversity([*curves.values()]) if len(curves) > 1 else None
    if diversity is None or len(samples) > 1:
        return values
    for model, curve in curves.items():
        interval = quality_at(curve, diversity)
        if interval:
            numbers = (interval.mean, interval.low, interval.high, diversity)
            values[model] = dict(zip(names, numbers, strict=True))
    return values


def mean_over(scored: Sequence[Scored | None], metric: str) -> Interval | None:
    """The mean of a metric over data sets, with its 95% bootstrap interval over inputs.

    The inputs of each data set are resampled independently.

    Returns:
        None if a data set is missing, or has only the mean of the metric.
    """
    values = [each and each.group.per_input(metric) for each in scored]
    if not values or None in values:
        return None
    resampled = [_resampled(*pair, seed) for seed, pair in enumerate(values)]  # [RESAMPLES] each
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.mean(resampled, axis=0), [tail, 1 - tail])
    mean = np.mean([each.group.score(metric) for each in scored])
    return Interval(float(mean), float(low), float(high))


def _resampled(values: np.ndarray, weights: np.ndarray | None, seed: int) -> np.ndarray:
    def mean(drawn: np.ndarray) -> np.ndarray:
        return weighted_mean(values[drawn], None if weights is None else weights[drawn])

    return resample(mean, len(values), seed, RESAMPLES)


def common_diversity(curves: Sequence[Curve]) -> float | None:
    """A round diversity in the middle of the range that all curves have.

    The segments between greedy decoding and the lowest temperatures are used only if nothing else
    is common, because a straight line describes such a wide segment badly.
    """
    for with_greedy in (False, True):
        common = common_range(curves, with_greedy)
        if common:
            values = round_values(*common)
            return values[len(values) // 2]
    return None


def setting_text(groups: Sequence[Group]) -> str:
    """How many sampling seeds and inputs the scores have, and at which temperature."""
    results = [result for group in groups for result in group.results]
    seeds = " or ".join(str(n) for n in sorted({len(result.seeds) for result in results}))
    temperatures = " or ".join(f"{t:g}" for t in sorted({result.temperature for result in results}))
    inputs: Mapping[str, set[int]] = {
        data: {group_result.inputs for group in groups if group.data == data
               for group_result in group.results}
        for data in dict.fromkeys(group.data for group in groups)
    }  # fmt: skip
    counts = ", ".join(f"{DATA_SETS.get(data, data)} {' or '.join(map(str, sorted(numbers)))}"
                       for data, numbers in inputs.items())  # fmt: skip
    return f"{seeds} sampling seeds at temperature {temperatures}; inputs: {counts}"
