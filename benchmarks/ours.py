"""MiniLLM with the sampler, loss and optimiser of the package, without logs and validation."""

from pathlib import Path

from accelerate import PartialState
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from benchmarks.shapes import Problem
from minillm.config import Config, DataConfig, MiniLLMConfig, TrainingConfig
from minillm.methods import Method, build_method
from minillm.teachers import LocalTeacher
from minillm.training.method import StepBatch
from minillm.training.optimization import build_optimizer
from minillm.training.setup import Setup

ALPHA = 0.2


def training_settings(problem: Problem, lr: float = 5e-6, warmup_steps: int = 0) -> TrainingConfig:
    """The default settings of the package with the batch sizes of the shape."""
    return TrainingConfig(
        batch_size=problem.shape.rollouts,
        micro_batch_size=problem.shape.micro_batch,
        lr=lr,
        warmup_steps=warmup_steps,
    )


def optimizer(problem: Problem, training: TrainingConfig | None = None) -> AdamW:
    """The optimiser of the training loop for the student; all contenders use it."""
    training = training or training_settings(problem)
    return build_optimizer(problem.student.module, training, problem.device)


def minillm_method(
    problem: Problem, inner_epochs: int, training: TrainingConfig | None = None
) -> Method:
    """The method, built as in `minillm train`."""
    PartialState(cpu=problem.device.type == "cpu")
    shape = problem.shape
    config = Config(
        data=DataConfig(max_response_length=shape.response),
        method=MiniLLMConfig(
            alpha=ALPHA, rollouts_per_collection=shape.rollouts, inner_epochs=inner_epochs
        ),
        training=training or training_settings(problem),
    )
    teacher = LocalTeacher(problem.teacher)
    return build_method(
        Setup(config, problem.student, teacher, problem.examples, problem.device, 0, 1, Path())
    )


def step(method: Method, module: nn.Module, adamw: AdamW, batch: StepBatch) -> None:
    """One optimiser step, as in the training loop."""
    tokens = sum(micro_batch.count for micro_batch in batch.micro_batches)
    for micro_batch in batch.micro_batches:
        loss, _ = method.loss(module, micro_batch, {"tokens": tokens})
        loss.backward()
    update(module, adamw)


def update(module: nn.Module, adamw: AdamW) -> None:
    """Clip the gradients, update the parameters and clear the gradients."""
    nn.utils.clip_grad_norm_(module.parameters(), TrainingConfig.max_grad_norm)
    adamw.step()
    adamw.zero_grad()


class Ours:
    """Each call runs one collection with its inner epochs."""

    def __init__(
        self,
        problem: Problem,
        adamw: AdamW,
        inner_epochs: int | None = None,
        schedule: LambdaLR | None = None,
    ) -> None:
        self.inner_epochs = inner_epochs or problem.shape.inner_epochs
        self.method = minillm_method(problem, self.inner_epochs)
        self.module, self.adamw = problem.student.module, adamw
        self.batches = self.method.batches()
        self.schedule = schedule

    def __call__(self) -> None:
        for _ in range(self.inner_epochs):
            step(self.method, self.module, self.adamw, next(self.batches))
            if self.schedule:
                self.schedule.step()
