"""docs/results.md agrees with the metrics of the code."""

import inspect
import re
from pathlib import Path

from minillm.evaluation.metrics import METRICS, ExactMatch

PAGE = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")


def test_the_page_names_every_metric():
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`(\w+)`", " ".join(rows))) | {"distinct_2", "distinct_3"}
    assert named == set(METRICS)  # the row of distinct n-grams names the first and the last


def test_the_page_shows_the_class():
    assert inspect.getsource(ExactMatch) in PAGE
