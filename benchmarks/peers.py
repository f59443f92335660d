"""TRL's trainers on the same problem: what a user would pick today.

    pip install --no-deps trl==1.14.2     (or the extra `bench`; TRL needs nothing that is not here)

1.14.2 is the last version with MiniLLMTrainer. Neither trainer passes position ids, so that models
with absolute positions are read wrongly under left padding: they are compared on Llama's shape.
"""

import os
import tempfile
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from statistics import fmean
from typing import Any

import torch
from datasets import Dataset
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import PrinterCallback, Trainer, TrainerCallback

from benchmarks.measure import clock
from benchmarks.shapes import Problem

VERSION = "1.14.2"
MINILLM, DISTILLATION = "TRL MiniLLMTrainer", "TRL DistillationTrainer"
NAMES = (MINILLM, DISTILLATION)


def missing() -> str | None:
    """Why TRL cannot be measured, and what to do; None where it can."""
    try:
        found = version("trl")
    except PackageNotFoundError:
        found = None
    if found == VERSION:
        return None
    return f"trl {VERSION} is not installed (found: {found}), so it is left out: " \
           f"pip install --no-deps trl=={VERSION}"  # fmt: skip


def build_trainer(
    name: str,
    problem: Problem,
    optimizer: Optimizer,
    steps: int,
    micro_batch: int,
    callback: TrainerCallback,
    schedule: LambdaLR | None = None,
) -> Trainer:
    """A trainer of `name` for so many steps, each one collection and one inner epoch.

    MiniLLMTrainer has gamma = 0, since it collapses with future rewards, and no reward of its own.
    """
    shape = problem.shape
    settings: dict[str, Any] = {
        "output_dir": tempfile.mkdtemp(prefix="trl-"),
        "per_device_train_batch_size": micro_batch,
        "gradient_accumulation_steps": shape.rollouts // micro_batch,
        "max_completion_length": shape.response,
        "max_steps": steps,
        "max_grad_norm": 1.0,
        "gradient_checkpointing": False,
        "bf16": False,  # models keep the type that they have
        "use_cpu": problem.device.type == "cpu",
        "logging_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "temperature": 1.0,
        "top_k": 0,
        "top_p": 1.0,
    }
    # Imported here: the rest must work without.
    if name == MINILLM:
        os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
        from trl.experimental.minillm import MiniLLMConfig, MiniLLMTrainer

        settings |= {"num_generations": 1, "gamma": 0.0, "beta": 0.0}
        config, trainer = MiniLLMConfig(**settings), MiniLLMTrainer
    else:
        from trl import DistillationConfig, DistillationTrainer

        config, trainer = DistillationConfig(**settings, beta=1.0), DistillationTrainer
    schedule = schedule or LambdaLR(optimizer, lambda _: 1.0)
    tokenizer = problem.student.tokenizer
    tokenizer.padding_side = "left"
    built = trainer(
        model=problem.student.module,
        teacher_model=problem.teacher.module,
        args=config,
        train_dataset=Dataset.from_list([{"prompt": x.prompt} for x in problem.examples]),
        processing_class=tokenizer,
        optimizers=(optimizer, schedule),
        callbacks=[callback],
    )
    built.remove_callback(PrinterCallback)
    return built


@dataclass
class StepTimes(TrainerCallback):
    """Seconds of each optimiser step, with the collection that comes before it."""

    device: torch.device
    seconds: list[float] = field(default_factory=list)

    def on_step_begin(self, args, state, control, **kwargs) -> None:
        self.start = clock(self.device)

    def on_step_end(self, args, state, control, **kwargs) -> None:
        self.seconds.append(clock(self.device) - self.start)


class Peer:
    """A call is one collection and `more`; returns the mean seconds of these, or of the one."""

    def __init__(
        self, name: str, problem: Problem, optimizer: Optimizer, micro_batch: int, more: int = 2
    ) -> None:
        self.device = problem.device
        self.arguments = name, problem, optimizer, 1 + more, micro_batch

    def __call__(self) -> float:
        times = StepTimes(self.device)
        build_trainer(*self.arguments, times).train()
        return fmean(times.seconds[1:] or times.seconds)
