"""A pruner that knows distillation: it stops a training whose student degenerates, and says why.

Optuna's pruners compare a score with those of other trials, which the first trials do not have.
These rules look at one training alone. Short and repetitive responses are the reward hacking that
section 2.2 of the paper describes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minillm.settings.rules import setting

REVERSE_KL, LENGTH = "validation/reverse_kl", "validation/length"
UNFINISHED, DISTINCT = "validation/unfinished", "validation/distinct_4"
REPETITION, EFFECTIVE_SHARE = "rollout/repetition", "weights/effective_share"
# Nats per token. A smaller rise of the reverse KL breaks no rule, as that of a student that began
# as a copy of its teacher.
LEAST_RISE = 0.05

Line = dict[str, Any]  # of metrics.jsonl


@dataclass
class WatchConfig:
    """When a training counts as degenerated. A rule that is null is not used."""

    # Validations, or log lines, in a row that must break a rule.
    patience: int = setting(2, at_least=1)
    # The reverse KL of a validation is above this multiple of the lowest one so far.
    reverse_kl: float | None = setting(1.5, above=1)
    # The mean length of responses is below this share of that of the first validation. Validations
    # in which most responses reach the limit of length, as of an untrained model, do not count.
    length: float | None = setting(0.3, above=0, below=1)
    # The share of distinct 4-grams among all responses is below this share of the first one.
    distinct: float | None = setting(0.3, above=0, below=1)
    # The share of 4-grams in a sampled response that it has already had is above this number.
    repetition: float | None = setting(0.5, above=0, below=1)
    # The effective share of the importance weights is below this number.
    effective_share: float | None = setting(0.1, above=0, below=1)


def degeneration(lines: Sequence[Line], rules: WatchConfig) -> str | None:
    """Why a training should stop after these lines of metrics.jsonl; None if it should not.

    Args:
        lines: all lines so far, the newest last. Only its metrics can break a rule.
        rules: the rules.
    """
    reasons = (
        _reverse_kl(lines, rules),
        _below_start(lines, LENGTH, rules.length, rules, "the mean length of responses fell to"),
        _below_start(lines, DISTINCT, rules.distinct, rules,
                     "the share of distinct 4-grams among all responses fell to"),
        _beyond(lines, REPETITION, rules.repetition, rules,
                "responses repeat themselves: the share of repeated 4-grams is"),
        _beyond(lines, EFFECTIVE_SHARE, rules.effective_share, rules,
                "few importance weights dominate: their effective share is", below=True),
    )  # fmt: skip
    return next((reason for reason in reasons if reason), None)


def _values(lines: Sequence[Line], key: str) -> list[float]:
    """The values of a metric, in order; empty if the newest line does not have it."""
    if not lines or lines[-1].get(key) is None:
        return []
    return [line[key] for line in lines if line.get(key) is not None]


def _reverse_kl(lines: Sequence[Line], rules: WatchConfig) -> str | None:
    values, factor = _values(lines, REVERSE_KL), rules.reverse_kl
    if factor is None or len(values) <= rules.patience:
        return None
    lowest = min(values[: -rules.patience])
    limit = max(factor * lowest, lowest + LEAST_RISE)
    if all(value > limit for value in values[-rules.patience :]):
        return f"the reverse KL rose from {lowest:.3g} to {values[-1]:.3g}"
    return None


def _below_start(
    lines: Sequence[Line], key: str, share: float | None, rules: WatchConfig, text: str
) -> str | None:
    values = _values(lines, key)
    finished = [line for line in lines if (line.get(UNFINISHED) or 0.0) <= 0.5]
    start = next((line[key] for line in finished if line.get(key) is not None), None)
    if share is None or start is None or len(values) <= rules.patience:
        return None
    if all(value < share * start for value in values[-rules.patience :]):
        return f"{text} {values[-1]:.3g}, from {start:.3g} at the start"
    return None


def _beyond(
    lines: Sequence[Line],
    key: str,
    limit: float | None,
    rules: WatchConfig,
    text: str,
    below: bool = False,
) -> str | None:
    values = _values(lines, key)[-rules.patience :]
    if limit is None or len(values) < rules.patience:
        return None
    if all(value < limit if below else value > limit for value in values):
        return f"{text} {values[-1]:.3g}"
    return None
