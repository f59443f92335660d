"""Checkpoints: the complete state of a run. A resumed run continues as if it had never stopped.

RUN/checkpoints/step-000123/
  pytorch_model.bin, optimizer.bin, ...   files of Accelerate: models, optimiser, scaler, schedule,
                                          and the random states of each process
                                          (folders of shards with FSDP and DeepSpeed)
  rank-0.pt, rank-1.pt, ...   of each process: the state of the method (position in the data,
                              rollouts, generators), and metrics that are not logged yet
  shared.pt                   state of the method that all processes share (averaged teacher)
  progress.json               format, step, history of scores, seconds, settings
  metrics.jsonl, best, last   copies from the folder of the run
  manifest.json               number of processes; size and SHA-256 of every file

A checkpoint is written to a temporary folder, which is renamed when it is on the disk. All
processes must share the file system.
"""

import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException

from minillm.compat.deepspeed import postponed_writes
from minillm.errors import TrainingError
from minillm.files import aside_of, copy_file, read_json, write_json
from minillm.model_paths import CHECKPOINTS, MODELS
from minillm.processes import failing_together, from_main, gathered
from minillm.runs import METRICS
from minillm.training.files import (
    MANIFEST,
    WRITE_ERRORS,
    begin_folder,
    copy_folder,
    equalize_permissions,
    fault,
    files_below,
    listing,
    not_written,
    put_in_place,
    read_manifest,
    sync_folder,
)

log = logging.getLogger(__name__)

# The number of the format: the files above and their keys. Raise the number if a change makes older
# checkpoints unreadable. Checkpoints of format 1 do not contain a number.
FORMAT = 3
PROGRESS = "progress.json"
SHARED = "shared.pt"


def found(output: Path) -> list[Path]:
    """All checkpoints of a run, also damaged checkpoints; newest first."""
    folders = (output / CHECKPOINTS).glob("step-*")
    return sorted((path for path in folders if step_of(path) is not None), key=step_of)[::-1]


def step_of(folder: Path) -> int | None:
    """The step in the name of a checkpoint folder; None if the folder has another name."""
    match = re.fullmatch(r"step-(\d+)", folder.name)
    return int(match[1]) if match else None


def newest_whole(output: Path) -> Path | None:
    """The newest complete checkpoint. A warning names each newer checkpoint and its fault."""
    for folder in found(output):
        reason = fault(folder)
        if reason is None:
            return folder
        log.warning("%s is damaged: %s. This checkpoint is not used.", folder, reason)
    return None


def read_progress(folder: Path) -> dict[str, Any]:
    """The step, history, seconds and settings of a checkpoint."""
    return read_json(folder / PROGRESS)


@dataclass
class RunState:
    """Writes and reads the checkpoints of one run. All processes must call it together.

    Attributes:
        accelerator: saves and loads all objects that it has prepared or registered.
        output: the folder of the run.
        keep: number of checkpoints that are kept.
        made_with: values that must not change when the run continues; stored in `progress.json`.
    """

    accelerator: Accelerator
    output: Path
    keep: int
    made_with: dict[str, Any]

    def __post_init__(self) -> None:
        # Weights then have the same names with and without DistributedDataParallel.
        self.accelerator.register_save_state_pre_hook(_unwrap_names)
        self.accelerator.register_load_state_pre_hook(self._unwrap_models)

    def _unwrap_models(self, models: list[nn.Module], folder: str) -> None:
        models[:] = [self.accelerator.unwrap_model(model) for model in models]

    def save(
        self, step: int, progress: dict[str, Any], own: dict[str, Any], shared: dict[str, Any]
    ) -> Path:
        """Write the checkpoint of a step, unless it exists, and keep the newest `keep` checkpoints.

        Args:
            step: number of finished optimiser steps.
            progress: the same on all processes, written as JSON.
            own: state of this process, written by `torch.save`.
            shared: the same on all processes, written once by `torch.save`.

        Raises:
            TrainingError: the checkpoint could not be written. All processes raise the error.
        """
        folder = self.output / CHECKPOINTS / f"step-{step:06d}"
        if from_main(folder.exists):  # the run continued from it, or has just written it
            return folder
        with self.writing(folder):
            if self.accelerator.is_main_process:
                begin_folder(folder)
        with self.writing(folder):
            self._write(aside_of(folder), step, progress, own)
            if self.accelerator.is_main_process:
                torch.save(shared, aside_of(folder) / SHARED)
        with self.writing(folder), postponed_writes(self.accelerator):
            # Not safetensors, because its writer warns about tied weights each time.
            self.accelerator.save_state(
                str(aside_of(folder)), safe_serialization=False, save_latest=False
            )
        with self.writing(folder):
            listed = self._list(aside_of(folder))
        files = {name: file for part in gathered([listed]) for name, file in part.items()}
        with self.writing(folder):
            if self.accelerator.is_main_process:
                self._finish(folder, files)
        return folder

    @contextmanager
    def writing(self, folder: Path) -> Iterator[None]:
        """If one process fails to write, all raise an error, and the partial folder is deleted.

        Raises:
            TrainingError: the message names the folder, the reason and the free space.
        """
        try:
            with failing_together(TrainingError):
                try:
                    yield
                except CheckpointException as error:  # FSDP raises it on all processes
                    if self.accelerator.process_index in error.failures:
                        reason, _ = error.failures[self.accelerator.process_index]
                        raise not_written(folder, reason) from error
                except WRITE_ERRORS as error:
                    raise not_written(folder, error) from error
        except TrainingError:
            if self.accelerator.is_main_process:
                shutil.rmtree(aside_of(folder), ignore_errors=True)
            raise

    def _write(self, aside: Path, step: int, progress: dict[str, Any], own: dict) -> None:
        torch.save(own, aside / f"rank-{self.accelerator.process_index}.pt")
        if not self.accelerator.is_main_process:
            return
        head = {"format": FORMAT, "step": step}
        write_json(aside / PROGRESS, head | progress | self.made_with)
        shutil.copyfile(self.output / METRICS, aside / METRICS)
        for name in MODELS:
            if (self.output / name).exists():
                copy_folder(self.output / name, aside / name)

    def _list(self, aside: Path) -> dict[str, dict]:
        """Sizes and hashes of this process's share of the files. The files are read again."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        return listing(aside, files_below(aside)[rank::world])

    def _finish(self, folder: Path, files: dict[str, dict]) -> None:
        manifest = {"processes": self.accelerator.num_processes, "files": files}
        write_json(aside_of(folder) / MANIFEST, manifest)
        equalize_permissions(aside_of(folder), aside_of(folder) / MANIFEST)
        sync_folder(aside_of(folder))
        put_in_place(folder)
        for old in found(self.output)[self.keep :]:
            shutil.rmtree(old)

    def load(
        self, folder: Path
    ) -> tuple[dict[str, Any], dict[int, dict[str, Any]], dict[str, Any]]:
        """Load models, optimiser, schedule, scaler and random states from a checkpoint.

        Returns:
            The progress, the `own` states by rank, and the shared state. The `own` states contain
            only the rank of this process, or all ranks if the number of processes has changed.
        """
        # Frozen weights are not in the checkpoint. Its hash shows that no other weight is missing.
        arguments = {"strict": False} if self.made_with.get("base") else {}
        self.accelerator.load_state(str(folder), **arguments)
        progress = from_main(partial(read_progress, folder))
        saved = from_main(partial(read_manifest, folder))["processes"]
        rank = self.accelerator.process_index
        ranks = [rank] if saved == self.accelerator.num_processes else range(saved)
        own = {
            number: torch.load(folder / f"rank-{number}.pt", map_location="cpu", weights_only=True)
            for number in ranks
        }
        shared = torch.load(folder / SHARED, map_location="cpu", weights_only=True)
        return progress, own, shared

    def restore_outputs(self, folder: Path) -> None:
        """Restore metrics, `best` and `last` from a checkpoint, and delete later checkpoints.

        The run repeats the later steps, and their results may differ. So the old results must go.
        """
        copy_file(folder / METRICS, self.output / METRICS)
        for name in MODELS:
            shutil.rmtree(aside_of(self.output / name), ignore_errors=True)
            if (folder / name).exists():
                copy_folder(folder / name, aside_of(self.output / name))
                put_in_place(self.output / name)
        for later in found(self.output):
            if step_of(later) > step_of(folder):
                shutil.rmtree(later)


def _unwrap_names(models: list[nn.Module], weights: list[dict], folder: str) -> None:
    """Remove the prefix of wrappers from the names of weights, and remove frozen weights.

    `weights` is empty with FSDP2 and DeepSpeed.
    """
    for number, state in enumerate(weights):
        frozen = tuple(_frozen(models[number]))
        weights[number] = {
            name.removeprefix("module."): value
            for name, value in state.items() if not f"{name}.".startswith(frozen)
        }  # fmt: skip


def _frozen(model: nn.Module) -> list[str]:
    """The names of frozen weights, each with a full stop; [] without an adapter.

    The full stop is for 4-bit weights, whose further tensors have the name of the weight in theirs.
    """
    return [
        f"{name}."
        for name, weight in model.named_parameters(remove_duplicate=False)
        if not weight.requires_grad
    ]
