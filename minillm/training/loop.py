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

from accelerate import Accelerator

from minillm.config import TrainingConfig
from minillm.errors import Stopped
from minillm.evaluation.selection import best, is_best, score_line, shown_score
from minillm.models.language_model import LanguageModel
from minillm.processes import highest
from minillm.progress import Progress, duration, shown
from minillm.training.checkpoint import save_checkpoint
from minillm.training.clock import Clock
from minillm.training.finite import FiniteCheck
from minillm.training.meter import Meter
from minillm.training.method import Method
from minillm.training.pace import Pace
from minillm.training.run_state import RunState
from minillm.training.signals import StopSignals
from minillm.training.stepper import LOSS, Stepper
from minillm.training.tracking import Tracker

log = logging.getLogger(__name__)


@dataclass
class Trainer:
    """One training run.

    Attributes:
        accelerator: processes, devices and precision.
        student: the model that is trained.
        method: yields batches and computes the loss.
        training: settings of the loop.
        steps: number of optimiser steps; fewer once `training.seconds` have passed.
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
        stepper = Stepper(
            self.accelerator, self.student, self.method, self.training, steps=self.steps,
            finite=self.finite, clock=self.clock, meter=self.meter,
        )  # fmt: skip
        first = self._resume(checkpoint) if checkpoint else 0
        pace = Pace(self.clock, self.history, self.training, steps=self.steps, first=first,
                    steps_per_collection=self.method.steps_per_collection)  # fmt: skip
        progress = Progress(self.output.name, self.steps, "steps", first, values=self.shown,
                            estimate=pace)  # fmt: skip
        with shown(progress, leave=True), StopSignals() as signals:
            self._end_if_time_is_over(first)
            self._evaluate_if_due(first, signals)
            for step in range(first + 1, self.steps + 1):
                finished = stepper(step)
                self._end_if_time_is_over(step)
                self.counts.update(finished.totals)
                if step % self.training.log_every == 0 or step == self.steps:
                    self._log(step, self.meter.take(self.accelerator), self.counts, finished.lr)
                    self.counts.clear()
                progress.advance()
                self._stop_if_asked(step, signals)
                self._evaluate_if_due(step, signals)
                if step % self._checkpoint_every == 0 or step == self.steps:
                    self._checkpoint(step)
                if step == self.steps:
                    break  # `self.steps` may have become smaller

    def _end_if_time_is_over(self, step: int) -> None:
        """Make `step` the last step if `training.seconds` have passed on any process."""
        limit = self.training.seconds
        if limit is not None and step < self.steps:
            is_over = self.clock.training_seconds >= limit
            if highest(is_over, self.accelerator.device):
                log.info("step %d of at most %d is the last one: training.seconds=%g have passed.",
                         step, self.steps, limit)  # fmt: skip
                self.steps = step

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
            of_process = {"method": self.method.state_dict(), "metrics": self.meter.held()}
            return self.state.save(step, progress, of_process, self.method.shared_state_dict())

    def _resume(self, checkpoint: Path) -> int:
        """Restore the state of a checkpoint, and return the number of finished steps."""
        progress, of_processes, shared = self.state.load(checkpoint)
        self.history += progress["history"]
        self.clock.load_state_dict(progress["clock"])
        self.counts.update(progress["counts"])
        self.method.load_state_dict(next(iter(of_processes.values()))["method"])
        self.method.load_shared_state_dict(shared)
        for number, state in of_processes.items():  # one process restores each meter
            restores = number % self.accelerator.num_processes == self.accelerator.process_index
            metrics = state["metrics"]
            self.meter.add(metrics if restores else dict.fromkeys(metrics, (0.0, 0.0)))
        return progress["step"]

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
