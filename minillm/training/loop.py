"""The one training loop: batches from a method, steps, logs, validation, checkpoints.

It knows nothing of any one method. A step's loss is a sum over the whole step (all micro-batches,
all processes) divided by counts over the whole step, so cutting a step up changes nothing.
"""

import contextlib
import logging
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import torch
from accelerate import Accelerator
from torch import nn
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from minillm.config import TrainingConfig
from minillm.errors import Stopped, TrainingError
from minillm.evaluation.selection import best, is_best, score_line, shown_score
from minillm.models.language_model import LanguageModel
from minillm.training.checkpoint import save_checkpoint
from minillm.training.clock import Clock
from minillm.training.meter import Meter
from minillm.training.method import Method, StepBatch
from minillm.training.modules import with_modules
from minillm.training.optimization import build_optimizer, build_schedule
from minillm.training.run_state import RunState
from minillm.training.sharding import prepare
from minillm.training.signals import StopSignals
from minillm.training.tracking import Tracker

log = logging.getLogger(__name__)

# Metrics on the progress bar beside those of the method and the validation score that selects: name
# in metrics.jsonl -> short text.
SHOWN = {"speed/tokens_per_second": "tokens/s"}


@dataclass
class Trainer:
    """One training run.

    Attributes:
        accelerator: processes, devices, precision.
        student: the model that is trained.
        method: batches and loss.
        training: settings of the loop.
        steps: optimiser steps.
        validate: scores the student that it is given, whole: `loss` and the cheap metrics.
        tracker: where figures go.
        state: writes and reads checkpoints.
        output: the run's folder.
        details: written beside each checkpoint.
    """

    accelerator: Accelerator
    student: LanguageModel
    method: Method
    training: TrainingConfig
    steps: int
    validate: Callable[[LanguageModel], dict[str, float]]
    tracker: Tracker
    state: RunState
    output: Path
    details: dict
    clock: Clock = field(default_factory=Clock)
    history: list[dict[str, float]] = field(default_factory=list)
    shown: dict[str, float] = field(default_factory=dict)
    meter: Meter = field(default_factory=Meter)
    counts: Counter = field(default_factory=Counter)

    def run(self, checkpoint: Path | None = None) -> None:
        """Train to the last step; `best` and `last` lie in the output folder then.

        Args:
            checkpoint: of this run, to go on from.

        Raises:
            Stopped: a signal asked for it; a checkpoint is there.
            TrainingError: a loss is not finite, or something could not be written.
        """
        module = with_modules(self.student.module, self.method.modules())
        optimizer = build_optimizer(module, self.training)
        module, optimizer = prepare(
            self.accelerator, module, optimizer, self.training.max_grad_norm
        )
        # Of the prepared optimiser: DeepSpeed may put its own in place of the one that was given.
        schedule = build_schedule(optimizer, self.training, self.steps)
        self.accelerator.register_for_checkpointing(schedule)
        first = self._resume(checkpoint) if checkpoint else 0
        batches = self.method.batches()
        bar = tqdm(total=self.steps, initial=first, desc=self.output.name, disable=None,
                   dynamic_ncols=True)  # fmt: skip
        with logging_redirect_tqdm(), bar, StopSignals() as signals:
            self._evaluate_if_due(first, signals)
            for step in range(first + 1, self.steps + 1):
                with self.clock.phase("collect"):
                    try:
                        batch = next(batches)
                    except FloatingPointError as error:
                        self._stop(f"{error} at step {step}")
                with self.clock.phase("optimize"):
                    totals = self._totals(batch)
                    norm = self._step(module, optimizer, batch, totals, self.meter, step)
                    lr = schedule.get_last_lr()[0]
                    schedule.step()
                    self.method.after_step(step)
                self.counts.update(totals)
                share = 1 / self.accelerator.num_processes  # each has the same norm
                self.meter.add(batch.metrics | {"optimizer/grad_norm": (norm * share, share)})
                if step % self.training.log_every == 0 or step == self.steps:
                    self._log(step, self.meter.take(self.accelerator), self.counts, lr)
                    self.counts.clear()
                self._stop_if_asked(step, signals)
                self._evaluate_if_due(step, signals)
                if step % self._checkpoint_every == 0 or step == self.steps:
                    self._checkpoint(step)
                bar.set_postfix(self.shown, refresh=False)
                bar.update()

    @property
    def _checkpoint_every(self) -> int:
        return self.training.checkpoint_every or self.training.evaluate_every

    def _evaluate_if_due(self, step: int, signals: StopSignals) -> None:
        """Validate, unless a checkpoint of this step has brought the scores along."""
        due = step % self.training.evaluate_every == 0 or step == self.steps
        if due and all(point["step"] < step for point in self.history):
            self._evaluate(step)
            self._stop_if_asked(step, signals)

    def _stop_if_asked(self, step: int, signals: StopSignals) -> None:
        number = signals.agreed(self.accelerator)
        if number:
            folder = self._checkpoint(step)
            raise Stopped(
                f"{number.name} at step {step} of {self.steps}: the checkpoint {folder} is "
                f"written. Go on from it with resume=auto.",
                number,
            )

    def _checkpoint(self, step: int) -> Path:
        with self.clock.phase("checkpoint"):
            with self.state.writing(self.output):
                self.tracker.flush()
            progress = {
                "history": self.history,
                "clock": self.clock.state_dict(),
                "counts": dict(self.counts),
            }
            own = {"method": self.method.state_dict(), "metrics": self.meter.held()}
            return self.state.save(step, progress, own, self.method.shared_state_dict())

    def _resume(self, checkpoint: Path) -> int:
        """Take everything up as it was; the steps that are done."""
        progress, own, shared = self.state.load(checkpoint)
        self.history += progress["history"]
        self.clock.load_state_dict(progress["clock"])
        self.counts.update(progress["counts"])
        self.method.load_state_dict(next(iter(own.values()))["method"])
        self.method.load_shared_state_dict(shared)
        for number, state in own.items():  # of several, each is taken up by one process
            mine = number % self.accelerator.num_processes == self.accelerator.process_index
            metrics = state["metrics"]
            self.meter.add(metrics if mine else dict.fromkeys(metrics, (0.0, 0.0)))
        return progress["step"]

    def _totals(self, batch: StepBatch) -> dict[str, float]:
        """The count of each part of the method, over all micro-batches and processes."""
        counts: Counter[str] = Counter()
        for micro_batch in batch.micro_batches:
            counts[micro_batch.part] += micro_batch.count
        names = sorted(counts)
        values = torch.tensor([counts[name] for name in names], dtype=torch.float64)
        values = self.accelerator.reduce(values.to(self.accelerator.device), "sum").tolist()
        return dict(zip(names, values, strict=True))

    def _step(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        batch: StepBatch,
        totals: dict[str, float],
        meter: Meter,
        step: int,
    ) -> float:
        """Backward over every micro-batch and one optimiser step; the gradient's norm."""
        module.train(self.method.dropout)
        last = len(batch.micro_batches) - 1
        value = torch.zeros((), device=self.accelerator.device)
        for number, micro_batch in enumerate(batch.micro_batches):
            is_last = number == last
            self.accelerator.sync_gradients = is_last  # DeepSpeed steps in the last backward
            with contextlib.nullcontext() if is_last else self.accelerator.no_sync(module):
                loss, metrics = self.method.loss(module, micro_batch, totals)
                # Gradients are averaged over processes, but each loss is a share of one sum.
                self.accelerator.backward(loss * self.accelerator.num_processes)
            value += loss.detach()
            meter.add(metrics)
        norm = self.accelerator.clip_grad_norm_(module.parameters(), self.training.max_grad_norm)
        norm = math.nan if norm is None else float(norm)  # DeepSpeed has none of a skipped step
        # A non-finite loss on any process makes the common gradient non-finite on all of them.
        # Half precision skips a step whose scale was too large, and lowers the scale.
        if not math.isfinite(norm) and self.accelerator.mixed_precision != "fp16":
            value = float(self.accelerator.reduce(value, "sum"))
            self._stop(f"loss or gradient is not finite at step {step} (loss {value})")
        optimizer.step()
        optimizer.zero_grad()
        return norm

    def _stop(self, reason: str) -> NoReturn:
        raise TrainingError(
            f"{reason}: stopped. The last good checkpoints are kept in {self.output}: best, last "
            f"and those of checkpoints/. Try a smaller training.lr, more training.warmup_steps or "
            f"another precision."
        )

    def _log(self, step: int, values: dict[str, float], counts: Counter, lr: float) -> None:
        seconds = self.clock.take()
        spent = seconds["collect"] + seconds["optimize"]
        values["speed/tokens_per_second"] = sum(counts.values()) / max(spent, 1e-9)
        values["optimizer/lr"] = lr
        values |= {f"seconds/{phase}": value for phase, value in seconds.items()}
        values["seconds/training"] = self.clock.training_seconds
        self._track(step, values)

    def _track(self, step: int, values: dict[str, float]) -> None:
        with self.state.writing(self.tracker.path):
            self.tracker.log(step, values)
        score = shown_score(self.training.select_by)
        shown = self.method.shown | {f"validation/{score.name}": score.label} | SHOWN
        self.shown |= {
            text: float(f"{values[name]:.3g}") for name, text in shown.items() if name in values
        }

    def _evaluate(self, step: int) -> None:
        """Validate, keep the checkpoint as the last, and as the best where it is."""
        self.student.module.eval()
        with self.student.whole() as student:
            with self.clock.phase("validate"):
                try:
                    scores = self.validate(student)
                except FloatingPointError as error:
                    self._stop(f"{error} in the validation at step {step}")
            self._keep(student, scores, step)

    def _keep(self, student: LanguageModel, scores: dict[str, float], step: int) -> None:
        """Log the scores, write the checkpoints."""
        if not math.isfinite(scores["loss"]):
            self._stop(f"the validation loss is {scores['loss']} at step {step}")
        seconds = self.clock.training_seconds
        self.history.append({"step": step, "seconds": seconds} | scores)
        self._track(step, {f"validation/{name}": value for name, value in scores.items()})
        shown = score_line(scores, self.training.select_by)
        log.info("step %d of %d (%.0f s): %s", step, self.steps, seconds, shown)
        details = self.details | {
            "step": step,
            "seconds": seconds,
            "selected_by": self.training.select_by,
        }
        names = ["last", "best"] if is_best(self.history, self.training.select_by) else ["last"]
        for name in names:
            with self.state.writing(self.output / name):
                if self.accelerator.is_main_process:
                    save_checkpoint(student, self.output / name, details)

    def summary(self) -> dict:
        """Steps, seconds, the best validation, and all validations."""
        return {
            "steps": self.steps,
            "seconds": dict(self.clock.total) | {"training": self.clock.training_seconds},
            "best": best(self.history, self.training.select_by),
            "history": self.history,
        }
