"""The whole state of a run, from which it goes on as if it had never stopped.

RUN/checkpoints/step-000123/
  pytorch_model.bin, optimizer.bin, ...   what Accelerate saves of the models, the optimiser, the
                                          scaler, the schedule and each process's random states
                                          (folders of shards under FSDP and DeepSpeed)
  rank-0.pt, rank-1.pt, ...   what a method knows (place in the data, rollouts, generators) and
                              metrics not logged yet, of each process
  shared.pt                   what a method knows on all processes alike (an averaged teacher)
  progress.json               format, step, history of scores, seconds, settings
  metrics.jsonl, best, last   as they were in the run's folder
  manifest.json               number of processes; bytes and SHA-256 of every file

A folder is written aside and renamed when it is on the disk; all processes share the file system.
"""

import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException

from minillm.compat.deepspeed import postponed_writes
from minillm.errors import TrainingError
from minillm.files import aside_of, copy_file, read_json, write_json
from minillm.processes import failing_together, gathered
from minillm.runs import CHECKPOINTS, METRICS
from minillm.training.files import (
    MANIFEST,
    WRITE_ERRORS,
    begin_folder,
    copy_folder,
    fault,
    files_below,
    listing,
    not_written,
    put_in_place,
    read_manifest,
    sync_folder,
)

log = logging.getLogger(__name__)

# The layout above and the keys of its files. Raise the number when an older checkpoint cannot be
# loaded any more. Checkpoints of format 1 have no number.
FORMAT = 2
PROGRESS = "progress.json"
SHARED = "shared.pt"
MODELS = ("best", "last")


def found(output: Path) -> list[Path]:
    """The checkpoints of a run, whole or not, the newest first."""
    folders = (output / CHECKPOINTS).glob("step-*")
    return sorted((path for path in folders if step_of(path) is not None), key=step_of)[::-1]


def step_of(folder: Path) -> int | None:
    """The step of a checkpoint's folder, by its name."""
    match = re.fullmatch(r"step-(\d+)", folder.name)
    return int(match[1]) if match else None


def newest_whole(output: Path) -> Path | None:
    """The newest checkpoint without a fault; those that have one are named in a warning."""
    for folder in found(output):
        reason = fault(folder)
        if reason is None:
            return folder
        log.warning("%s is damaged: %s. It is left out, the one before is taken.", folder, reason)
    return None


def read_progress(folder: Path) -> dict[str, Any]:
    """Step, history, seconds and settings of a checkpoint."""
    return read_json(folder / PROGRESS)


@dataclass
class RunState:
    """Writes and reads the checkpoints of one run, on all processes together.

    Attributes:
        accelerator: what was prepared by it, or registered with it, is saved and loaded.
        output: the run's folder.
        keep: how many checkpoints stay.
        made_with: what must be the same for a run to go on, kept beside the progress.
    """

    accelerator: Accelerator
    output: Path
    keep: int
    made_with: dict[str, Any]

    def __post_init__(self) -> None:
        # One name for a weight, whether DistributedDataParallel wraps the model or nothing does.
        self.accelerator.register_save_state_pre_hook(_unwrap_names)
        self.accelerator.register_load_state_pre_hook(self._unwrap_models)

    def _unwrap_models(self, models: list[nn.Module], folder: str) -> None:
        models[:] = [self.accelerator.unwrap_model(model) for model in models]

    def save(
        self, step: int, progress: dict[str, Any], own: dict[str, Any], shared: dict[str, Any]
    ) -> Path:
        """Write the checkpoint of a step, unless it exists; checkpoints older than `keep` go.

        Args:
            step: optimiser steps done.
            progress: the same on all processes, as JSON has it.
            own: of this process, as `torch.save` has it.
            shared: the same on all processes, as `torch.save` has it; written once.

        Raises:
            TrainingError: it could not be written; on all processes alike.
        """
        folder = self.output / CHECKPOINTS / f"step-{step:06d}"
        if folder.exists():  # the run went on from it, or it was just written
            return folder
        with self.writing(folder):
            if self.accelerator.is_main_process:
                begin_folder(folder)
        with self.writing(folder):
            self._write(aside_of(folder), step, progress, own)
            if self.accelerator.is_main_process:
                torch.save(shared, aside_of(folder) / SHARED)
        with self.writing(folder), postponed_writes(self.accelerator):
            # As safetensors, it warns each time of weights that are tied.
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
        """What of a folder one process cannot write ends all of them; what lies aside is removed.

        Raises:
            TrainingError: naming the folder, the reason and the space.
        """
        try:
            with failing_together(TrainingError):
                try:
                    yield
                except CheckpointException as error:  # of FSDP: the others have heard of it
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
        """Each process reads a share of the files again."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        return listing(aside, files_below(aside)[rank::world])

    def _finish(self, folder: Path, files: dict[str, dict]) -> None:
        manifest = {"processes": self.accelerator.num_processes, "files": files}
        write_json(aside_of(folder) / MANIFEST, manifest)
        sync_folder(aside_of(folder))
        put_in_place(folder)
        for old in found(self.output)[self.keep :]:
            shutil.rmtree(old)

    def load(
        self, folder: Path
    ) -> tuple[dict[str, Any], dict[int, dict[str, Any]], dict[str, Any]]:
        """Bring back what `save` wrote: models, optimiser, schedule, scaler and random states.

        Returns:
            The progress; by rank, the state of this process, or the states of all processes if
            their number was another; and the shared state.
        """
        self.accelerator.load_state(str(folder))
        saved, rank = read_manifest(folder)["processes"], self.accelerator.process_index
        ranks = [rank] if saved == self.accelerator.num_processes else range(saved)
        own = {
            number: torch.load(folder / f"rank-{number}.pt", map_location="cpu", weights_only=True)
            for number in ranks
        }
        shared = torch.load(folder / SHARED, map_location="cpu", weights_only=True)
        return read_progress(folder), own, shared

    def restore_outputs(self, folder: Path) -> None:
        """Put metrics, `best` and `last` back to what they were at a checkpoint.

        What was written later is made again, and may come out otherwise; so later checkpoints go.
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
    weights[:] = [
        {name.removeprefix("module."): value for name, value in state.items()} for state in weights
    ]
