"""Which judge has scored results, and its win rates. Different judges are not compared."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from minillm.errors import InputError
from minillm.evaluation.judge_metric import JUDGE
from minillm.evaluation.result import Result
from minillm.reporting.groups import Group
from minillm.reporting.markdown import NOTHING, escape, table

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


def win_rates_table(groups: Sequence[Group]) -> str | None:
    """How often the judge prefers the responses of a model to those of another model.

    One row per result and other model (`judge.against`), with a legend; None if there are none.
    """
    compared = [
        (result.data, _name(group, result), file, wins)
        for group in groups
        for result in group.results
        for file, wins in (_details(result).get("against") or {}).items()
    ]
    if not compared:
        return None
    pairs = Counter((data, name, wins.get("method")) for data, name, _, wins in compared)
    rows = []
    for data, name, file, wins in compared:
        other = wins.get("method") or file
        is_clear = pairs[data, name, wins.get("method")] == 1
        shares = [_number(wins.get(part)) for part in ("wins", "ties", "losses")]
        rows.append([data, name, other if is_clear else f"{other} ({file})", _win_rate(wins),
                     *shares, str(wins.get("missing", NOTHING))])  # fmt: skip
    header = ["data", "method", "against", "win rate", "wins", "ties", "losses", "missing"]
    legend = (
        "Win rate (%): the share of responses that the judge scores higher than those of the other "
        "model to the same inputs, with the 95% bootstrap interval over inputs. A tie is half a "
        "win, so equal models have 50. Scores are summed over both orders of presentation. "
        "Missing: responses without scores in both orders."
    )
    return f"{table(header, rows, texts=3)}\n\n{escape(legend)}"


def _name(group: Group, result: Result) -> str:
    """The label of a group, with the run if the group has several."""
    is_one_of_many = len(group.results) > 1 and result.run_name
    return f"{group.label} ({result.run_name})" if is_one_of_many else group.label


def _win_rate(wins: Mapping[str, Any]) -> str:
    if wins.get("win_rate") is None:
        return NOTHING
    return f"{wins['win_rate']:.1f} [{wins['ci_low']:.1f}, {wins['ci_high']:.1f}]"


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"


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
