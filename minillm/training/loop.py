"""The training loop of all methods: batches, optimiser steps, logs, validation and checkpoints.

The loop contains no code of a particular method. The loss of a step is a sum over the whole step
(all micro-batches and processes) divided by counts over the whole step. So the result does not
depend on how the step is divided into micro-batches and processes.
"""

import logging
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from minillm.config import TrainingConfig
from minillm.devices import to_device
from minillm.errors import Stopped
from minillm.evaluation.selection import best, is_best, score_line, shown_score
from minillm.models.language_model import LanguageModel
from minillm.progress import Progress, duration, shown
from minillm.training.checkpoint import save_checkpoint
from minillm.training.clock import Clock
from minillm.training.finite import FiniteCheck
from minillm.training.meter import Meter
from minillm.training.method import Method, StepBatch
from minillm.training.modules import with_modules
from minillm.training.optimization import build_optimizer, build_schedule
from minillm.training.pace import Pace
from minillm.training.run_state import RunState
from minillm.training.sharding import accumulating, clear_gradients, prepare
from minillm.training.signals import StopSignals
from minillm.training.tracking import Tracker

log = logging.getLogger(__name__)

LOSS = "loss/total"  # name of the loss of a step in metrics.jsonl


@dataclass
class Trainer:
    """One training run.

    Attributes:
        accelerator: processes, devices and precision.
        student: the model that is trained.
        method: yields batches and computes the loss.
        training: settings of the loop.
        steps: number of optimiser steps.
        validate: computes the scores of a student with complete weights: `loss` and the cheap
            metrics.
        tracker: writes the metrics.
        state: writes and reads checkpoints.
        output: the folder of the run.
        details: written to `minillm.json` beside each model.
        clock: seconds of each phase.
        history: step, seconds and scores of each validation.
        shown: the newest values of the progress bar, by their short texts.
        meter: metrics that are not logged yet.
        counts: tokens of each part since the last log line.
        finite: stops the run when a number is not finite.
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
    finite: FiniteCheck = field(init=False)

    def __post_init__(self) -> None:
        self.finite = FiniteCheck(self.output, self.accelerator.mixed_precision == "fp16")

    def run(self, checkpoint: Path | None = None) -> None:
        """Train until the last step. The output folder then contains `best` and `last`.

        Args:
            checkpoint: the checkpoint from which training continues; None to start at step 0.

        Raises:
            Stopped: a signal has stopped the run, after a checkpoint was written.
            TrainingError: a number is not finite, or a file could not be written.
        """
        module = with_modules(self.student.module, self.method.modules())
        optimizer = build_optimizer(module, self.training)
        module, optimizer = prepare(
            self.accelerator, module, optimizer, self.training.max_grad_norm
        )
        # DeepSpeed may have replaced the optimiser, so the schedule needs the prepared optimiser.
        schedule = build_schedule(optimizer, self.training, self.steps)
        self.accelerator.register_for_checkpointing(schedule)
        first = self._resume(checkpoint) if checkpoint else 0
        batches = self.method.batches()
        pace = Pace(self.clock, self.history, self.training, steps=self.steps, first=first,
                    steps_per_collection=self.method.steps_per_collection)  # fmt: skip
        progress = Progress(self.output.name, self.steps, "steps", first, values=self.shown,
                            estimate=pace)  # fmt: skip
        with shown(progress, leave=True), StopSignals() as signals:
            self._evaluate_if_due(first, signals)
            for step in range(first + 1, self.steps + 1):
                with self.clock.phase("collect"):
                    try:
                        batch = next(batches)
                    except FloatingPointError as error:
                        self.finite.stop(f"{error} at step {step}")
                with self.clock.phase("optimize"):
                    totals = self._totals(batch)
                    norm = self._step(module, optimizer, batch, totals, self.meter, step)
                    lr = schedule.get_last_lr()[0]
                    schedule.step()
                    self.method.after_step(step)
                self.counts.update(totals)
                share = 1 / self.accelerator.num_processes  # all have the same norm
                self.meter.add(batch.metrics | {"optimizer/grad_norm": (norm * share, share)})
                if step % self.training.log_every == 0 or step == self.steps:
                    self._log(step, self.meter.take(self.accelerator), self.counts, lr)
                    self.counts.clear()
                progress.advance()
                self._stop_if_asked(step, signals)
                self._evaluate_if_due(step, signals)
                if step % self._checkpoint_every == 0 or step == self.steps:
                    self._checkpoint(step)

    @property
    def _checkpoint_every(self) -> int:
        return self.training.checkpoint_every or self.training.evaluate_every

    def _evaluate_if_due(self, step: int, signals: StopSignals) -> None:
        """Validate, unless the loaded checkpoint already contains the scores of this step."""
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
                f"written. Continue with resume=auto.",
                number,
            )

    def _checkpoint(self, step: int) -> Path:
        with self.clock.phase("checkpoint"):
            self.finite.check_weights(step, self.student.module, self.method.modules())
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
        """Restore the state of a checkpoint, and return the number of finished steps."""
        progress, own, shared = self.state.load(checkpoint)
        self.history += progress["history"]
        self.clock.load_state_dict(progress["clock"])
        self.counts.update(progress["counts"])
        self.method.load_state_dict(next(iter(own.values()))["method"])
        self.method.load_shared_state_dict(shared)
        for number, state in own.items():  # one process restores each meter
            mine = number % self.accelerator.num_processes == self.accelerator.process_index
            metrics = state["metrics"]
            self.meter.add(metrics if mine else dict.fromkeys(metrics, (0.0, 0.0)))
        return progress["step"]

    def _totals(self, batch: StepBatch) -> dict[str, float]:
        """The count of each part of the method, summed over all micro-batches and processes."""
        counts: Counter[str] = Counter()
        for micro_batch in batch.micro_batches:
            counts[micro_batch.part] += micro_batch.count
        names = sorted(counts)
        values = [float(counts[name]) for name in names]
        if self.accelerator.num_processes > 1:  # one process need not wait for its device
            sums = to_device(torch.tensor(values, dtype=torch.float64), self.accelerator.device)
            values = self.accelerator.reduce(sums, "sum").tolist()
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
        """Run the backward passes and one optimiser step, and return the norm of the gradient."""
        module.train(self.method.dropout)
        last = len(batch.micro_batches) - 1
        value = torch.zeros((), device=self.accelerator.device)
        for number, micro_batch in enumerate(batch.micro_batches):
            with accumulating(self.accelerator, module, is_last=number == last):
                loss, metrics = self.method.loss(module, micro_batch, totals)
                # The engine averages gradients over processes, but the loss of a step is a sum.
                self.accelerator.backward(loss * self.accelerator.num_processes)
            value += loss.detach()
            meter.add(metrics)
        meter.add({LOSS: (value, 1 / self.accelerator.num_processes)})
        norm = self.accelerator.clip_grad_norm_(module.parameters(), self.training.max_grad_norm)
        norm = math.nan if norm is None else float(norm)  # None: DeepSpeed skipped the step
        # A non-finite loss on one process makes the summed gradient non-finite on all processes.
        total = 0.0 if math.isfinite(norm) else float(self.accelerator.reduce(value, "sum"))
        self.finite.check_step(step, total, norm)
        optimizer.step()
        clear_gradients(self.accelerator, optimizer)
        return norm

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
        self._show(values)

    def _show(self, values: dict[str, float]) -> None:
        """Show some metrics on the progress bar, in a fixed order."""
        score = shown_score(self.training.select_by)
        texts = {LOSS: "loss"} | self.method.shown
        texts |= {f"validation/{score.name}": f"validation {score.label}"}
        texts |= {"speed/tokens_per_second": "tokens/s"}
        new = {text: float(f"{values[x]:.3g}") for x, text in texts.items() if x in values}
        new = self.shown | new
        self.shown.clear()  # `Progress` reads this dictionary
        self.shown.update({text: new[text] for text in texts.values() if text in new})

    def _evaluate(self, step: int) -> None:
        """Validate, and save the student as `last` and, if it has the best score, as `best`."""
        self.student.module.eval()
        with self.student.whole(rounded=True) as student, self.clock.phase("validate"):
            try:
                scores = self.validate(student)
            except FloatingPointError as error:
                self.finite.stop(f"{error} in the validation at step {step}")
        with self.student.whole() as student:
            self._keep(student, scores, step)

    def _keep(self, student: LanguageModel, scores: dict[str, float], step: int) -> None:
        """Log the scores, and save the student as `last` and, if it is the best, as `best`."""
        if not math.isfinite(scores["loss"]):
            self.finite.stop(f"the validation loss is {scores['loss']} at step {step}")
        self.finite.check_weights(step, student.module)
        seconds = self.clock.training_seconds
        known = {name: value if math.isfinite(value) else None for name, value in scores.items()}
        self.history.append({"step": step, "seconds": seconds} | known)
        self._track(step, {f"validation/{name}": value for name, value in scores.items()})
        scores_text = score_line(scores, self.training.select_by)
        log.info("validation at step %d of %d (after %s of training): %s", step, self.steps,
                 duration(seconds), scores_text)  # fmt: skip
        details = self.details | {
            "step": step,
            "seconds": seconds,
            "selected_by": self.training.select_by,
        }
        names = ["last", "best"] if is_best(self.history, self.training.select_by) else ["last"]
        for name in names:
            with self.clock.phase("checkpoint"), self.state.writing(self.output / name):
                if self.accelerator.is_main_process:
                    save_checkpoint(student, self.output / name, details)

    def summary(self) -> dict:
        """Steps, seconds, the best validation and all validations."""
        return {
            "steps": self.steps,
            "seconds": dict(self.clock.total) | {"training": self.clock.training_seconds},
            "best": best(self.history, self.training.select_by),
            "history": self.history,
        }
