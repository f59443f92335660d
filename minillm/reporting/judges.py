"""Which judge has scored results. Scores of different judges are not compared."""

from collections.abc import Iterable, Mapping
from typing import Any

from minillm.errors import InputError
from minillm.evaluation.judge_metric import JUDGE
from minillm.evaluation.result import Result

# What must be equal: of all results, and of the results on one data set.
OF_ALL = ("model", "prompt_version")
OF_DATA = ("seeds", "inputs")


def judge_text(results: Iterable[Result]) -> str:
    """Who has judged the results, as a sentence for a caption; empty if nobody has.

    Raises:
        InputError: the results have scores of different judges, or of other seeds or inputs of one
            data set.
    """
    judged = [result for result in results if result.metric(JUDGE)]
    first: dict[tuple, tuple[Result, list[Any]]] = {}
    for result in judged:
        for key, names in (((), OF_ALL), ((result.data,), OF_DATA)):
            values = [_details(result).get(name) for name in names]
            other, other_values = first.setdefault(key, (result, values))
            if values != other_values:
                raise InputError(_message(names, (other, other_values), (result, values)))
    if not judged:
        return ""
    model, version = (_details(judged[0]).get(name, "not recorded") for name in OF_ALL)
    return f"Scores of the judge {model}, version of the wording: {version}"


def _message(names: tuple, one: tuple[Result, list], two: tuple[Result, list]) -> str:
    parts = [
        f"{result.method} on {result.data} has "
        + ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
        for result, values in (one, two)
    ]
    return (
        f"the scores of judges differ in how they were made, so they cannot be compared: "
        f"{'; '.join(parts)}. Judge all results alike (minillm judge with judge.overwrite=true), "
        f"make separate reports, or leave the judge out (minillm report with --metric rougeL)."
    )


def _details(result: Result) -> Mapping[str, Any]:
    return result.unknown_keys.get("judge") or {}
