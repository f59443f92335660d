"""The trainers of TRL on the same problem, as a user can run them today.

    pip install --no-deps trl==1.14.2     (or the extra `bench`; all dependencies are installed)

1.14.2 is the last version with MiniLLMTrainer. With 1.16.0, only DistillationTrainer is measured.
The trainers pass no position ids, so that models with absolute positions get wrong positions with
left padding. The comparison therefore uses models of Llama's shape.
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

MINILLM, DISTILLATION = "TRL MiniLLMTrainer", "TRL DistillationTrainer"
NAMES = (MINILLM, DISTILLATION)
TRAINERS = {"1.14.2": NAMES, "1.16.0": (DISTILLATION,)}  # by version of TRL


def installed_version() -> str | None:
    try:
        return version("trl")
    except PackageNotFoundError:
        return None


def trainers() -> tuple[str, ...]:
    """The names of the trainers that the installed version of TRL has; empty without TRL."""
    return TRAINERS.get(installed_version(), ())


def missing() -> str | None:
    """Why some trainers cannot be measured, and how to install them; None if all can be."""
    lacking = [name for name in NAMES if name not in trainers()]
    if not lacking:
        return None
    wanted = next(iter(TRAINERS))
    return f"trl {wanted} is not installed (installed: {installed_version()}), so " \
           f"these are not measured: {', '.join(lacking)}. " \
           f"To measure them: pip install --no-deps trl=={wanted}"  # fmt: skip


def build_trainer(
    name: str,
    problem: Problem,
    optimizer: Optimizer,
    steps: int,
    micro_batch: int,
    callback: TrainerCallback,
    schedule: LambdaLR | None = None,
) -> Trainer:
    """The trainer `name` for `steps` steps; each step is one collection and one inner epoch.

    MiniLLMTrainer has gamma = 0, because training collapses with later rewards, and it has no
    reward function.
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
        "bf16": False,  # the type of the models does not change
        "use_cpu": problem.device.type == "cpu",
        "logging_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "temperature": 1.0,
        "top_k": 0,
        "top_p": 1.0,
    }
    # Imported here, because the other benchmarks must work without TRL.
    if name == MINILLM:
        os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
        from trl.experimental.minillm import MiniLLMConfig, MiniLLMTrainer

        settings |= {"num_generations": 1, "gamma": 0.0, "beta": 0.0}
        config, trainer_class = MiniLLMConfig(**settings), MiniLLMTrainer
    else:
        from trl import DistillationConfig, DistillationTrainer

        config, trainer_class = DistillationConfig(**settings, beta=1.0), DistillationTrainer
    schedule = schedule or LambdaLR(optimizer, lambda _: 1.0)
    tokenizer = problem.student.tokenizer
    tokenizer.padding_side = "left"
    trainer = trainer_class(
        model=problem.student.module,
        teacher_model=problem.teacher.module,
        args=config,
        train_dataset=Dataset.from_list([{"prompt": x.prompt} for x in problem.examples]),
        processing_class=tokenizer,
        optimizers=(optimizer, schedule),
        callbacks=[callback],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


@dataclass
class StepTimes(TrainerCallback):
    """Seconds of each optimiser step, with the collection before the step."""

    device: torch.device
    seconds: list[float] = field(default_factory=list)

    def on_step_begin(self, args, state, control, **kwargs) -> None:
        self.start = clock(self.device)

    def on_step_end(self, args, state, control, **kwargs) -> None:
        self.seconds.append(clock(self.device) - self.start)


class Peer:
    """Each call runs a first collection and `measured` more collections.

    A call returns the mean seconds of the measured collections, or of the first if `measured` is 0.
    """

    def __init__(
        self, name: str, problem: Problem, optimizer: Optimizer, micro_batch: int, measured: int = 2
    ) -> None:
        self.device = problem.device
        self.arguments = name, problem, optimizer, 1 + measured, micro_batch

    def __call__(self) -> float:
        times = StepTimes(self.device)
        build_trainer(*self.arguments, times).train()
        return fmean(times.seconds[1:] or times.seconds)
