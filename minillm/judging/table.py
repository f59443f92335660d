"""The scores of a judge as a short text for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from minillm.evaluation.judge_metric import JUDGE
from minillm.judging.responses import Responses

NOTHING = "–"
HEADER = ("result", "method", "score", "reference", "ratio (%)", "order effect", "missing")
HEADER_AGAINST = ("result", "against", "win rate (%)", "wins", "ties", "losses", "missing")


def scores_table(responses: Sequence[Responses], contents: Sequence[Mapping[str, Any]]) -> str:
    """A table of the scores, one of win rates if there are any, and the meaning of the columns.

    Args:
        responses: that were judged.
        contents: the content of the result file of each.
    """
    rows, rows_against = [], []
    for judged, content in zip(responses, contents, strict=True):
        summary = content["judge"]
        rows.append(
            [
                str(judged.file),
                judged.result.method,
                _number(summary["score"], ".2f"),
                _number(summary["reference_score"], ".2f"),
                _interval(content["metrics"][JUDGE], "mean", ".1f"),
                _interval(summary["order_effect"], "mean", "+.2f"),
                str(summary["missing"]),
            ]
        )
        rows_against += [
            [
                str(judged.file),
                file,
                _interval(wins, "win_rate", ".1f"),
                *(_number(wins[name], ".1f") for name in ("wins", "ties", "losses")),
                str(wins["missing"]),
            ]
            for file, wins in summary["against"].items()
        ]
    tables = [_table(HEADER, rows)]
    if rows_against:
        tables.append(_table(HEADER_AGAINST, rows_against))
    legend = (
        "Scores from 1 to 10, means over both orders. Ratio: total of the model divided by total "
        "of the references.\nOrder effect: score of the answer that is read first minus score of "
        "the other answer.\nMissing: responses without scores in both orders. Brackets: 95% "
        "bootstrap intervals over inputs."
    )
    return "\n\n".join([*tables, legend])


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)


def _interval(values: Mapping[str, Any] | None, name: str, form: str) -> str:
    if values is None or values[name] is None:
        return NOTHING
    return f"{values[name]:{form}} [{values['ci_low']:{form}}, {values['ci_high']:{form}}]"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    align = ["left", "left", *["right"] * (len(header) - 2)]
    return tabulate(rows, header, tablefmt="simple", colalign=align, disable_numparse=True)
