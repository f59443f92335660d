"""The lines of metrics.jsonl."""

import json
import math
from types import SimpleNamespace

from minillm.training.tracking import Tracker


def test_values_that_are_not_finite_are_null(tmp_path):
    """JSON has neither NaN nor infinity. Trackers get the values as they are."""
    logged = []
    accelerator = SimpleNamespace(
        is_main_process=True, log=lambda values, step: logged.append((step, values))
    )
    values = {"validation/frontier": math.nan, "optimizer/norm": math.inf, "loss": 1 / 3}
    Tracker(accelerator, tmp_path / "metrics.jsonl").log(5, values)
    line = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=lambda _: "not JSON")
    expected = {"validation/frontier": None, "optimizer/norm": None, "loss": 0.333333}
    assert line == {"step": 5} | expected
    assert logged == [(5, values)]
