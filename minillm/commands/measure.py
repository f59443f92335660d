"""`minillm plan --measure`: times the parts of a training with loaded models. Nothing is kept."""

import logging
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from accelerate import Accelerator

from minillm.commands.train import validation_of
from minillm.data.encoding import Example
from minillm.data.plain_text import PlainText
from minillm.methods import Method, build_method
from minillm.planning.work import Work, parts
from minillm.training.clock import Clock
from minillm.training.finite import FiniteCheck
from minillm.training.meter import Meter
from minillm.training.setup import Setup
from minillm.training.sharding import gather_student
from minillm.training.stepper import Stepper


@dataclass(frozen=True)
class Seconds:
    """The measured seconds of the parts of a training.

    Attributes:
        before: until the teacher has written all responses (SeqKD).
        collection: of a collection, or of a batch of a method without collections.
        step: of an optimiser step.
        validation: of a validation.
        tokens: number of tokens of the loss in the measured step.
    """

    before: float
    collection: float
    step: float
    validation: float
    tokens: float


def measure(
    setup: Setup, validation: list[Example], accelerator: Accelerator, work: Work
) -> Seconds:
    """Run two steps, and validate a batch of inputs.

    The first step also creates the optimiser's states, so the second step is timed.

    Args:
        setup: with loaded models. The student is trained, so do not use it afterwards.
        validation: the validation split.
        accelerator: processes, devices and precision.
        work: of the whole training.
    """
    setup = _with_plain_text(setup)
    setup = replace(setup, student=gather_student(setup.student, accelerator))
    method, before = _timed_method(setup, work)
    clock = Clock()
    finite = FiniteCheck(setup.output, accelerator.mixed_precision == "fp16")
    stepper = Stepper(
        accelerator, setup.student, method, setup.config.training, steps=work.steps,
        finite=finite, clock=clock, meter=Meter(),
    )  # fmt: skip
    stepper(1)
    first = clock.take()
    finished = stepper(2)
    second = clock.take()
    return Seconds(
        before=before,
        collection=(first if work.steps_per_collection > 1 else second)["collect"],
        step=second["optimize"],
        validation=_seconds_of_validation(setup, validation),
        tokens=sum(finished.totals.values()),
    )


def _with_plain_text(setup: Setup) -> Setup:
    """The setup with blocks of one token in place of plain text, which would be written to a file.

    The time of a step does not depend on the tokens.
    """
    method = setup.config.method
    if not method.lm_coef:
        return setup
    shape = method.lm_batch_size, method.lm_length
    blocks = np.full(shape, setup.student.tokenizer.eos_token_id)
    return replace(setup, plain_text=PlainText(blocks, checksum=""))


def _timed_method(setup: Setup, work: Work) -> tuple[Method, float]:
    """The method, and the seconds in which a teacher writes all responses of the training.

    Each process writes one batch of responses, into a file that is deleted.
    """
    method = setup.config.method
    if method.response_file is None:
        return build_method(setup), 0.0
    size = method.generation_batch_size * setup.world
    examples = setup.train[: max(1, size // method.samples_per_prompt)]
    with tempfile.TemporaryDirectory() as folder:
        method = replace(method, file=str(Path(folder) / "responses.jsonl"))
        setup = replace(setup, train=examples, config=replace(setup.config, method=method))
        start = time.perf_counter()
        logging.disable(logging.INFO)  # of the file, which no command can continue
        try:
            built = build_method(setup)
        finally:
            logging.disable(logging.NOTSET)
        return built, (time.perf_counter() - start) * parts(work.epoch, size)


def _seconds_of_validation(setup: Setup, validation: list[Example]) -> float:
    """The seconds of a validation, from one batch of inputs per process."""
    config = setup.config
    inputs = min(len(validation), config.training.validation_inputs)
    measured = min(inputs, config.evaluation.batch_size * setup.world)
    setup.student.module.eval()
    with setup.student.whole(rounded=True) as student:
        start = time.perf_counter()
        validation_of(setup, validation[:measured])(student)
        return (time.perf_counter() - start) * inputs / measured
