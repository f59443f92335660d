"""Writes the metrics of a run to metrics.jsonl and to the trackers that the settings name."""

import hashlib
import json
import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from minillm.errors import InputError, first_line
from minillm.files import read_json
from minillm.processes import failing_together
from minillm.runs import METRICS, PROVENANCE
from minillm.settings.rules import flatten

log = logging.getLogger(__name__)

WANDB_SECONDS = 5  # time for the server of Weights & Biases to answer at the start of a run


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
    wandb_mode: str | None = None,
) -> Tracker:
    """Begin the tracking of a run, or continue it after the step `resumed_at`.

    Args:
        accelerator: sends the values to the trackers.
        output: the folder of the run.
        name: the project in Weights & Biases.
        trackers: their names.
        config: the settings of the run, which the trackers show.
        resumed_at: the last finished step of a run that continues.
        wandb_mode: as `choose_wandb_mode` returns it.

    Raises:
        InputError: Weights & Biases refuses the run.
    """
    init = {}
    if "tensorboard" in trackers and resumed_at is not None:
        # The run logs the points after the checkpoint again. TensorBoard must drop the old points.
        init["tensorboard"] = {"purge_step": resumed_at + 1}
    if "wandb" in trackers:
        init["wandb"] = {"name": output.name, "dir": str(output), "id": _run_id(output),
                         "resume": "allow", "mode": wandb_mode}  # fmt: skip
    settings = None  # the trackers of a resumed run already have them
    if resumed_at is None:
        settings = {
            key: value if isinstance(value, int | float | str) else str(value)
            for key, value in flatten(config).items()
        }
    refusing = _refusing_wandb_errors() if "wandb" in trackers else nullcontext()
    with failing_together(InputError), refusing:
        accelerator.init_trackers(name, config=settings, init_kwargs=init)
    return Tracker(accelerator, output / METRICS)


def _run_id(output: Path) -> str:
    """The id of the run. A resumed run has the same id; other runs have other ids."""
    begun = read_json(output / PROVENANCE)["date"]
    return hashlib.sha256(f"{output.resolve()} {begun}".encode()).hexdigest()[:16]


def choose_wandb_mode(trackers: list[str]) -> str | None:
    """`offline` if Weights & Biases has no key or cannot be reached, else None: as it decides.

    A log line says why the run is offline. The environment variable WANDB_MODE has priority.

    Raises:
        InputError: Weights & Biases refuses the key.
    """
    if "wandb" not in trackers or os.environ.get("WANDB_MODE"):
        return None
    import requests  # a dependency of wandb
    import wandb

    settings = wandb.setup().settings
    with _refusing_wandb_errors():
        if not _has_wandb_key():
            log.info("no key for Weights & Biases is set, so it runs offline: see the folder wandb "
                     "of the run.")  # fmt: skip
            return "offline"
        try:
            requests.get(settings.base_url, timeout=WANDB_SECONDS)
        except requests.RequestException:
            log.warning(
                "%s cannot be reached, so Weights & Biases runs offline. `wandb sync` sends the "
                "folder wandb of the run later. WANDB_MODE=online would wait for the server.",
                settings.base_url,
            )
            return "offline"
        wandb.Api(timeout=2 * WANDB_SECONDS)  # asks the server whether the key is valid
    return None


def _has_wandb_key() -> bool:
    """Whether a key is set, or was stored by `wandb login`. The network is not used."""
    import wandb

    settings = wandb.setup().settings
    silent, settings.silent = settings.silent, True  # otherwise it asks the server for the name
    try:
        return wandb.login(prompt=False, verify=False)
    finally:
        settings.silent = silent


@contextmanager
def _refusing_wandb_errors() -> Iterator[None]:
    """Turn an error of Weights & Biases into an InputError that says what to do."""
    from wandb.errors import Error

    try:
        yield
    except Error as error:
        raise InputError(
            f"Weights & Biases cannot be used: {first_line(error)}. Run `wandb login --relogin`, "
            f"set WANDB_MODE=offline to upload the run later, or leave wandb out of "
            f"runtime.trackers."
        ) from error
