"""Results only grow: what a command adds to the settings of an existing result.

A result has some seeds, temperatures and metrics. A command that names others adds them, and keeps
what the result has.
"""

from collections.abc import Collection
from dataclasses import asdict, replace
from typing import Any

from minillm.config import EvaluationConfig
from minillm.evaluation.metrics import cheap_metrics

_LISTS = ("seeds", "frontier", "frontier_top_p")
_SINGLE = ("greedy", "exposure_samples", "frontier_samples")


def extended(
    settings: EvaluationConfig, saved: dict[str, Any], given: Collection[str]
) -> EvaluationConfig:
    """The settings of an evaluation that has everything that an existing result has.

    Args:
        settings: those of the command.
        saved: all settings of the result, by section.
        given: names of the settings of the command line. The result decides about all others.

    Raises:
        KeyError: there are no settings of the evaluation.
    """
    old = asdict(EvaluationConfig()) | saved["evaluation"]  # older results lack newer settings
    values = {name: old[name] for name in (*_LISTS, *_SINGLE, "metrics")}
    for name in values:
        if f"evaluation.{name}" in given:
            values[name] = _added(name, old[name], getattr(settings, name))
    return replace(settings, **values)


def _added(name: str, old: Any, new: Any) -> Any:
    """The value of a setting that has what the old and the new value ask for, if there is one."""
    if name == "greedy":
        return old or new
    if name in _SINGLE:
        return new
    if name == "metrics":
        old, new = (cheap_metrics() if names is None else names for names in (old, new))
    both = [*dict.fromkeys([*(old or ()), *(new or ())])]
    return None if name == "metrics" and both == cheap_metrics() else both or None


def is_addition(key: str, old: dict[str, Any]) -> bool:
    """Whether another value of a setting adds to a result, and leaves what it has as it is.

    Args:
        key: dotted name of the setting.
        old: the settings of the result, by dotted name.
    """
    section, _, name = key.partition(".")
    if section != "evaluation":
        return False
    if name == "frontier_samples":
        return not (old["evaluation.frontier"] or old["evaluation.frontier_top_p"])
    if name in ("greedy", "exposure_samples"):
        return not old[key]
    return name in (*_LISTS, "metrics")
