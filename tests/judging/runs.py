"""What the tests of the judge know about the run in `runs/a`."""

import json
from pathlib import Path

from tests.judging.loopback import score_of

KEY = "sk-a/very+secret='key'"
INPUTS = 10


def result(run: str = "runs/a") -> dict:
    return json.loads(Path(run, "evaluation/tiny.json").read_text())


def lines_of(name: str, run: str = "runs/a") -> list[dict]:
    return [json.loads(x) for x in Path(run, "evaluation", name).read_text().splitlines()]


def rows(seed: object, run: str = "runs/a") -> list[dict]:
    return [row for row in lines_of("tiny.responses.jsonl", run) if row["seed"] == seed]


def ratio(seed: object) -> float:
    totals = [
        (score_of(row["response"]), score_of(row["references"][0])) for row in rows(seed)
    ]  # the rule does not depend on the order
    return 100 * sum(own for own, _ in totals) / sum(other for _, other in totals)


def distinct_questions(*seeds: object) -> int:
    pairs = {(row["task"], row["response"], row["references"][0]) for s in seeds for row in rows(s)}
    return 2 * len(pairs)
