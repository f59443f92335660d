"""One optimiser step: the batch of a method, the backward passes, and the update of the weights."""

import math
from collections import Counter
from dataclasses import dataclass

import torch
from accelerate import Accelerator

from minillm.config import TrainingConfig
from minillm.devices import to_device
from minillm.models.language_model import LanguageModel
from minillm.training.clock import Clock
from minillm.training.finite import FiniteCheck
from minillm.training.meter import Meter
from minillm.training.method import Method, StepBatch
from minillm.training.modules import with_modules
from minillm.training.optimization import build_optimizer, build_schedule
from minillm.training.sharding import accumulating, clear_gradients, prepare

LOSS = "loss/total"  # name of the loss of a step in metrics.jsonl


@dataclass(frozen=True)
class Step:
    """A finished step.

    Attributes:
        totals: the count of each part of the method, summed over all processes.
        lr: the learning rate of the step.
    """

    totals: dict[str, float]
    lr: float


class Stepper:
    """Prepares the student for training, and runs optimiser steps.

    Args:
        accelerator: processes, devices and precision.
        student: the model that is trained.
        method: yields batches and computes the loss.
        training: settings of the optimiser.
        steps: number of steps of the run, for the schedule of the learning rate.
        finite: stops the run when a number is not finite.
        clock: gets the seconds of the phases `collect` and `optimize`.
        meter: gets the metrics.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        student: LanguageModel,
        method: Method,
        training: TrainingConfig,
        *,
        steps: int,
        finite: FiniteCheck,
        clock: Clock,
        meter: Meter,
    ) -> None:
        self.accelerator = accelerator
        self.method = method
        self.training = training
        self.finite = finite
        self.clock = clock
        self.meter = meter
        module = with_modules(student.module, method.modules())
        optimizer = build_optimizer(module, training, accelerator.device)
        self.module, self.optimizer = prepare(
            accelerator, module, optimizer, training.max_grad_norm
        )
        # DeepSpeed may have replaced the optimiser, so the schedule needs the prepared optimiser.
        self.schedule = build_schedule(self.optimizer, training, steps)
        accelerator.register_for_checkpointing(self.schedule)
        self.batches = method.batches()  # the first batch is made after a checkpoint is loaded

    def __call__(self, step: int) -> Step:
        """Run step number `step`.

        Raises:
            TrainingError: a number is not finite.
        """
        with self.clock.phase("collect"):
            try:
                batch = next(self.batches)
            except FloatingPointError as error:
                self.finite.stop(f"{error} at step {step}")
        with self.clock.phase("optimize"):
            totals = self.totals(batch)
            norm = self.update(batch, totals, step)
            lr = self.schedule.get_last_lr()[0]
            self.schedule.step()
            self.method.after_step(step)
        share = 1 / self.accelerator.num_processes  # all have the same norm
        self.meter.add(batch.metrics | {"optimizer/grad_norm": (norm * share, share)})
        return Step(totals, lr)

    def totals(self, batch: StepBatch) -> dict[str, float]:
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

    def update(self, batch: StepBatch, totals: dict[str, float], step: int) -> float:
        """Run the backward passes, update the weights, and return the norm of the gradient."""
        self.module.train(self.method.dropout)
        last = len(batch.micro_batches) - 1
        value = torch.zeros((), device=self.accelerator.device)
        for number, micro_batch in enumerate(batch.micro_batches):
            with accumulating(self.accelerator, self.module, is_last=number == last):
                loss, metrics = self.method.loss(self.module, micro_batch, totals)
                # The engine averages gradients over processes, but the loss of a step is a sum.
                self.accelerator.backward(loss * self.accelerator.num_processes)
            value += loss.detach()
            self.meter.add(metrics)
        self.meter.add({LOSS: (value, 1 / self.accelerator.num_processes)})
        norm = self.accelerator.clip_grad_norm_(
            self.module.parameters(), self.training.max_grad_norm
        )
        norm = math.nan if norm is None else float(norm)  # None: DeepSpeed skipped the step
        # A non-finite loss on one process makes the summed gradient non-finite on all processes.
        total = 0.0 if math.isfinite(norm) else float(self.accelerator.reduce(value, "sum"))
        self.finite.check_step(step, total, norm)
        self.optimizer.step()
        clear_gradients(self.accelerator, self.optimizer)
        return norm
