"""Fabricated results, as the evaluation writes them."""

import json
from pathlib import Path

import numpy as np
import pytest


def make_result(method: str, mean: float, data: str = "e2e", training_seed: int = 1) -> dict:
    """A complete result of format 2 with 40 inputs, whose ROUGE-L is spread around `mean`."""
    is_trained = method not in ("teacher", "init")
    lengths = np.tile([20.0, 30.0], 20)
    reverse_kl = None
    if method != "teacher":
        reverse_kl = metric(20 / mean, np.full(40, 20 / mean), 0.01, weights=lengths.tolist())
    training = {"seconds": 150.2, "steps": 400, "best_step": 40, "seed": training_seed}
    run = {"name": f"{method}-{training_seed}", "history": _history(mean)}
    return {
        "format": 2,
        "data": data,
        "method": method,
        "model": "gpt2 128x4" if method == "teacher" else "gpt2 64x2",
        "parameters": 1_234_567 if method == "teacher" else 241_000,
        "inputs": 40,
        "seeds": [10, 20],
        "temperature": 1.0,
        "metrics": {
            "rougeL": metric(mean, spread(mean, training_seed), 1.23456789, greedy=mean + 5),
            "exact_match": metric(mean / 2, np.full(40, mean / 2), 0.5, greedy=mean),
            "length": metric(25.0, lengths, 0.2, greedy=27.3),
            "reverse_kl": reverse_kl,
        },
        "training": training if is_trained else None,
        "run": run if is_trained else None,
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


def metric(mean: float, per_input: np.ndarray, half_width: float, **parts) -> dict:
    """One metric of a result of format 2, with the interval `mean ± half_width`."""
    return {
        "mean": mean,
        "std": 0.3,
        "ci_low": mean - half_width,
        "ci_high": mean + half_width,
        "per_seed": {"10": mean - 0.1, "20": mean + 0.1},
        "greedy": None,
        "per_input": per_input.tolist(),
        "weights": None,
    } | parts


def spread(mean: float, seed: int) -> np.ndarray:
    """40 scores around `mean`. Their distances from `mean` depend only on the seed."""
    scores = np.random.default_rng(seed).normal(0, 12, 40)
    return scores - scores.mean() + mean


def make_old_result(method: str, mean: float) -> dict:
    """A complete result of format 1, which this project wrote before it had a list of metrics."""
    return {
        "format": 1,
        "data": "e2e",
        "method": method,
        "model": "gpt2 64x2",
        "parameters": 241_000,
        "inputs": 40,
        "rougeL": {
            "mean": mean,
            "std": 0.3,
            "ci_low": mean - 1.25,
            "ci_high": mean + 1.25,
            "per_seed": {"10": mean - 0.1, "20": mean + 0.1},
        },
        "greedy": {"rougeL": mean + 5, "length": 27.3},
        "length": 28.1,
        "empty": 0.0,
        "unfinished": 0.001,
        "reverse_kl": 0.4,
        "per_input": spread(mean, 1).tolist(),
        "seeds": [10, 20],
        "wall_seconds": 31.0,
        "temperature": 1.0,
        "training": {"seconds": 150.2, "steps": 400, "best_step": 200, "seed": 1},
        "run": {"name": f"{method}-1", "history": _history(mean)},
        "provenance": {},
        "config": None,
    }


def _history(mean: float) -> list[dict]:
    """Validation points that approach `mean`; the last has no reverse KL."""
    points = [
        {
            "step": 40 * i,
            "loss": 2 - 0.1 * i,
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
def old_result():
    """The function that makes one result of format 1."""
    return make_old_result


@pytest.fixture
def write(tmp_path):
    """Writes a text, or a value as json, to a file with this name; returns the path."""

    def run(name: str, content) -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return run


@pytest.fixture
def runs(tmp_path) -> Path:
    """A folder of runs: six methods on two data sets, two training seeds of MiniLLM on one."""
    means = {"minillm": 47.1, "gkd": 46.0, "seqkd": 44.0, "sft": 43.0, "init": 30, "teacher": 52}
    results = [make_result(method, mean) for method, mean in means.items()]
    results += [make_result(method, mean - 20, "dolly") for method, mean in means.items()]
    results.append(make_result("minillm", 48.1, training_seed=2))
    for result in results:
        name = result["run"]["name"] if result["run"] else result["method"]
        file = tmp_path / "runs" / name / "evaluation" / f"{result['data']}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(result))
    return tmp_path / "runs"
