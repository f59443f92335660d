"""Writes the metrics of a run to metrics.jsonl and to the trackers that the settings name."""

import hashlib
import json
import logging
import math
import os
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from minillm.files import read_json
from minillm.runs import METRICS, PROVENANCE
from minillm.settings import flatten

log = logging.getLogger(__name__)


class Tracker:
    """Writes one line of metrics.jsonl per call, and passes the values to Accelerate's trackers.

    A value that is not finite is null in metrics.jsonl, because JSON has no NaN.
    """

    def __init__(self, accelerator: Accelerator, path: Path) -> None:
        self.accelerator = accelerator
        self.path = path

    def log(self, step: int, values: dict[str, float]) -> None:
        if self.accelerator.is_main_process:
            rounded = {
                key: float(f"{value:.6g}") if math.isfinite(value) else None
                for key, value in values.items()
            }
            with self.path.open("a", encoding="utf-8") as file:
                print(json.dumps({"step": step} | rounded), file=file)
        self.accelerator.log(values, step=step)

    def flush(self) -> None:
        """Write all points to TensorBoard's file, which is otherwise written every two minutes."""
        for tracker in self.accelerator.trackers:
            if tracker.name == "tensorboard" and self.accelerator.is_main_process:
                tracker.writer.flush()

    def close(self) -> None:
        self.accelerator.end_training()


def start_tracking(
    accelerator: Accelerator,
    output: Path,
    name: str,
    trackers: list[str],
    config: dict[str, Any],
    resumed_at: int | None = None,
) -> Tracker:
    """Begin the tracking of a run, or continue it after the step `resumed_at`.

    Without a key, Weights & Biases runs offline, and a log line says so.
    """
    init = {}
    if "tensorboard" in trackers and resumed_at is not None:
        # The run logs the points after the checkpoint again. TensorBoard must drop the old points.
        init["tensorboard"] = {"purge_step": resumed_at + 1}
    if "wandb" in trackers:
        init["wandb"] = {"name": output.name, "dir": str(output), "id": _run_id(output),
                         "resume": "allow"}  # fmt: skip
        if not os.environ.get("WANDB_MODE") and not _has_wandb_key():
            init["wandb"]["mode"] = "offline"
            log.info("no key for Weights & Biases is set, so it runs offline: see %s/wandb", output)
    settings = None  # the trackers of a resumed run already have them
    if resumed_at is None:
        settings = {
            key: value if isinstance(value, int | float | str) else str(value)
            for key, value in flatten(config).items()
        }
    accelerator.init_trackers(name, config=settings, init_kwargs=init)
    return Tracker(accelerator, output / METRICS)


def _run_id(output: Path) -> str:
    """The id of the run. A resumed run has the same id; other runs have other ids."""
    begun = read_json(output / PROVENANCE)["date"]
    return hashlib.sha256(f"{output.resolve()} {begun}".encode()).hexdigest()[:16]


def _has_wandb_key() -> bool:
    """Whether a key is set, or was stored by `wandb login`."""
    import wandb

    return wandb.login(prompt=False)
