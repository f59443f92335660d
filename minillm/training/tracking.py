"""Where the figures of a run go: always metrics.jsonl, and the trackers that were asked for."""

import json
import logging
import os
from pathlib import Path
from typing import Any

from accelerate import Accelerator

log = logging.getLogger(__name__)


class Tracker:
    """Writes one line of metrics.jsonl a call, and passes the same on to Accelerate's trackers."""

    def __init__(self, accelerator: Accelerator, path: Path) -> None:
        self.accelerator = accelerator
        self.path = path

    def log(self, step: int, values: dict[str, float]) -> None:
        if self.accelerator.is_main_process:
            rounded = {key: float(f"{value:.6g}") for key, value in values.items()}
            with self.path.open("a", encoding="utf-8") as file:
                print(json.dumps({"step": step} | rounded), file=file)
        self.accelerator.log(values, step=step)

    def close(self) -> None:
        self.accelerator.end_training()


def start_tracking(
    accelerator: Accelerator, output: Path, name: str, trackers: list[str], config: dict[str, Any]
) -> Tracker:
    """Begin a run's tracking; Weights & Biases without a key runs offline, and says so."""
    init = {}
    if "wandb" in trackers:
        init["wandb"] = {"name": output.name, "dir": str(output)}
        if not os.environ.get("WANDB_API_KEY") and not os.environ.get("WANDB_MODE"):
            os.environ["WANDB_MODE"] = "offline"
            log.info("WANDB_API_KEY is not set: Weights & Biases runs offline, see %s", output)
    flat = {key: value for key, value in _flatten(config).items()}
    accelerator.init_trackers(name, config=flat, init_kwargs=init)
    return Tracker(accelerator, output / "metrics.jsonl")


def _flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys with values that every tracker can write."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value if isinstance(value, int | float | str) else str(value)
    return flat
