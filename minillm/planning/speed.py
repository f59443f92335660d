"""The throughput of a training: a given number, or the mean of an earlier run."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minillm.errors import InputError
from minillm.runs import METRICS


@dataclass(frozen=True)
class Throughput:
    """How fast a training is, without its validations.

    Attributes:
        tokens_per_second: tokens of the loss per second, of all processes together.
        response_length: mean length of sampled responses; None if it is not known.
        validation_seconds: seconds per validation; None if they are not known.
    """

    tokens_per_second: float
    response_length: float | None = None
    validation_seconds: float | None = None


def throughput(given: str) -> Throughput:
    """The throughput of `--throughput`: a number, or the folder of a run.

    Raises:
        InputError: it is neither a number above 0 nor the folder of a run that has steps.
    """
    try:
        tokens_per_second = float(given)
    except ValueError:
        return _of_run(given)
    if not 0 < tokens_per_second < float("inf"):
        raise InputError(f"--throughput {given} is not allowed: it must be above 0.")
    return Throughput(tokens_per_second)


def _of_run(folder: str) -> Throughput:
    """Means over the lines of metrics.jsonl. Each line of steps counts by its seconds."""
    allowed = "Give tokens per second, or the folder of a run whose metrics.jsonl has steps."
    file = Path(folder) / METRICS
    if not file.is_file():
        raise InputError(f"--throughput {folder}: there is no file {file}. {allowed}")
    try:
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise InputError(f"--throughput {folder}: {file} cannot be read. {allowed}") from error
    steps = [line for line in lines if "speed/tokens_per_second" in line]
    if not steps:
        raise InputError(f"--throughput {folder}: {file} has no speed of steps. {allowed}")
    seconds = [line["seconds/collect"] + line["seconds/optimize"] for line in steps]
    speeds = [line["speed/tokens_per_second"] for line in steps]
    lengths = [line["rollout/length"] for line in steps if line.get("rollout/length")]
    # The line of a later step has the seconds of a validation.
    last = steps[-1]["step"]
    validations = sum("validation/loss" in line and line["step"] < last for line in lines)
    validating = sum(line.get("seconds/validate", 0) for line in steps)
    return Throughput(
        tokens_per_second=float(np.average(speeds, weights=seconds)),
        response_length=float(np.mean(lengths)) if lengths else None,
        validation_seconds=validating / validations if validations else None,
    )
