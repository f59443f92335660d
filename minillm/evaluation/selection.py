"""Selects the best checkpoint by the validation score that `training.select_by` names."""

import logging
import math
from collections.abc import Mapping, Sequence

from minillm.errors import InputError, unknown_name
from minillm.evaluation.metrics import METRICS, Metric

log = logging.getLogger(__name__)

LAST = "last"


class Loss(Metric):
    """Cross-entropy of the gold responses. Validation computes it without sampling responses."""

    name = "loss"
    label = "loss"
    unit = "nats per token"
    description = "cross-entropy of the gold responses, nats per token"
    form = ".3f"
    higher_is_better = False


class Greedy(Metric):
    """ROUGE-L of greedy decoding. Validation computes it only if it selects the checkpoint."""

    name = "greedy"
    label = "greedy ROUGE-L"
    unit = "0 to 100"
    description = "ROUGE-L of greedy decoding"
    higher_is_better = True


class FrontierScore(Metric):
    """ROUGE-L at a fixed diversity. Validation computes it only if it selects the checkpoint.

    A model that only becomes sharper gets no better score, unlike with ROUGE-L at temperature 1.
    """

    name = "frontier"
    label = "ROUGE-L at equal diversity"
    unit = "0 to 100"
    description = "ROUGE-L at the temperature of a fixed diversity within a prompt"
    higher_is_better = True


LOSS, GREEDY, FRONTIER = Loss(), Greedy(), FrontierScore()


def validation_metrics() -> dict[str, Metric]:
    """All scores of a validation by name: the loss, every cheap metric, and `select_by` scores.

    Greedy decoding and the frontier are computed only if `training.select_by` names them.
    """
    cheap = {name: metric for name, metric in METRICS.items() if metric.is_cheap}
    return {LOSS.name: LOSS} | cheap | {GREEDY.name: GREEDY, FRONTIER.name: FRONTIER}


def check_select_by(name: str, has_teacher: bool = True) -> None:
    """Refuse a `training.select_by` that cannot select.

    Args:
        name: a validation score, or `last` for the newest checkpoint.
        has_teacher: whether validation has a teacher that shares the student's tokenizer.

    Raises:
        InputError: the name is unknown; or validation does not compute the metric, the metric has
            no better direction, or it needs a teacher and there is none.
    """
    if name == LAST:
        return
    scores = validation_metrics()
    usable = [key for key, metric in scores.items() if metric.higher_is_better is not None]
    allowed = f"Use one of {', '.join([*usable, LAST])}."
    refused = f"training.select_by={name} is not allowed"
    if name in METRICS and name not in scores:
        raise InputError(f"{refused}: validations do not compute this metric. {allowed}")
    if name not in scores:
        raise unknown_name("training.select_by", name, [*usable, LAST])
    if name not in usable:
        raise InputError(
            f"{refused}: neither a higher nor a lower {scores[name].label} is better. {allowed}"
        )
    if scores[name].needs_teacher and not has_teacher:
        raise InputError(
            f"training.select_by={name} needs a teacher with the student's tokenizer, but there is "
            f"none. Add teacher.path=FOLDER_OR_HUB_NAME, or use another score."
        )


# The scores of a validation by name; None for a score that could not be computed.
Validation = Mapping[str, float | None]


def is_best(history: Sequence[Validation], select_by: str) -> bool:
    """Whether the last validation of a history is the best, see `best`.

    A warning says if no validation has a score.

    Args:
        history: scores of each validation by name, in the order of the steps.
        select_by: a validation score, or `last`.

    Raises:
        InputError: the last validation lacks the score.
    """
    is_newest = best(history, select_by) is history[-1]
    if select_by != LAST and not any(_is_known(scores, select_by) for scores in history):
        log.warning(
            "no validation has a score for training.select_by=%s yet, so the newest checkpoint is "
            "saved as best", select_by,
        )  # fmt: skip
    return is_newest


def best(history: Sequence[Validation], select_by: str) -> Validation:
    """The best validation of a history; the earliest if several are equal.

    Missing scores and scores that are not finite are worse than all other scores. If no validation
    has a score, the last one is the best: the first may be the start of the training.

    Raises:
        InputError: the last validation lacks the score.
    """
    if select_by == LAST:
        return history[-1]
    if select_by not in history[-1]:
        check_select_by(select_by, has_teacher=False)
        raise InputError(
            f"training.select_by={select_by}: this validation has only "
            f"{', '.join(name for name in history[-1] if name not in ('step', 'seconds'))}. Use "
            f"one of these scores."
        )
    sign = 1 if validation_metrics()[select_by].higher_is_better else -1

    with_score = [scores for scores in history if _is_known(scores, select_by)]
    if not with_score:
        return history[-1]
    return max(with_score, key=lambda scores: sign * scores[select_by])


def _is_known(scores: Validation, name: str) -> bool:
    value = scores.get(name)
    return value is not None and math.isfinite(value)


def shown_score(select_by: str) -> Metric:
    """The validation score for the progress bar: the selecting score, or ROUGE-L."""
    return validation_metrics().get(select_by, METRICS["rougeL"])


def score_line(scores: Mapping[str, float], select_by: str) -> str:
    """Scores of a validation for the log: loss, ROUGE-L, `select_by`, `always_shown` metrics."""
    names = (LOSS.name, METRICS["rougeL"].name, shown_score(select_by).name)
    return ", ".join(
        f"{metric.label} {scores[name]:{metric.form}}"
        for name, metric in validation_metrics().items()
        if name in scores and (name in names or metric.always_shown)
    )
