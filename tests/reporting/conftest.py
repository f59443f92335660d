"""Fabricated results, as the evaluation writes them."""

import json
from pathlib import Path

import numpy as np
import pytest


def make_result(method: str, mean: float, data: str = "e2e", training_seed: int = 1) -> dict:
    """A whole result with 40 inputs whose scores spread around `mean`."""
    spread = np.random.default_rng(training_seed).normal(0, 12, 40)
    scores = (spread - spread.mean() + mean).tolist()
    is_trained = method not in ("teacher", "init")
    run = {"name": f"{method}-{training_seed}", "history": _history(mean)}
    return {
        "format": 1,
        "data": data,
        "inputs": 40,
        "method": method,
        "model": "gpt2 128x4" if method == "teacher" else "gpt2 64x2",
        "parameters": 1_234_567 if method == "teacher" else 241_000,
        "rougeL": {
            "mean": mean,
            "std": 0.3,
            "ci_low": mean - 1.23456789,
            "ci_high": mean + 1.2,
            "per_seed": {"10": mean - 0.1, "20": mean + 0.1},
        },
        "greedy": {"rougeL": mean + 5, "length": 27.3} if is_trained else None,
        "length": 28.1,
        "empty": 0.0,
        "unfinished": 0.001,
        "reverse_kl": None if method == "teacher" else 20 / mean,
        "per_input": scores,
        "training": {"seconds": 150.2, "steps": 400, "seed": training_seed} if is_trained else None,
        "run": run if is_trained else None,
        "seeds": [10, 20],
        "temperature": 1.0,
        "wall_seconds": 31.0,
        "provenance": {
            "command": f"minillm evaluate {method} {data}",
            "git_revision": "abc1234",
            "git_dirty": False,
            "machine": "2 cores",
            "date": "2026-11-21",
            "versions": {"torch": "2.13.0"},
        },
        "config": {"lr": 0.0000051234},
    }


def _history(mean: float) -> list[dict]:
    """Validation points that approach `mean`; the last has no reverse KL."""
    points = [
        {
            "step": 40 * i,
            "rougeL": mean - 8 * 0.7**i,
            "reverse_kl": 0.3 + 0.6 * 0.7**i,
            "seconds": 15.0 * i,
        }
        for i in range(10)
    ]
    del points[-1]["reverse_kl"]
    return points


@pytest.fixture
def result():
    """The function that makes one result."""
    return make_result


@pytest.fixture
def runs(tmp_path) -> Path:
    """A folder of runs: six methods on two data sets, two training seeds of MiniLLM on one."""
    means = {"minillm": 47.1, "gkd": 46.0, "seqkd": 44.0, "sft": 43.0, "init": 30, "teacher": 52}
    results = [make_result(m, mean + k, d) for m, mean in means.items() for k, d in [(0, "e2e")]]
    results += [make_result(m, mean - 20, "dolly") for m, mean in means.items()]
    results.append(make_result("minillm", 48.1, training_seed=2))
    for result in results:
        name = result["run"]["name"] if result["run"] else result["method"]
        file = tmp_path / "runs" / name / "evaluation" / f"{result['data']}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(result))
    return tmp_path / "runs"
