"""`minillm plan`: what a training would need and do, without its weights. Nothing is written."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedType

from minillm.commands.dry_run import device_text, print_lines, training_lines
from minillm.commands.loading import make_outline
from minillm.commands.measure import measure
from minillm.commands.plan_text import (
    data_rows,
    measured_rows,
    memory_table,
    print_section,
    throughput_rows,
    work_rows,
)
from minillm.commands.size import with_settings_for_size
from minillm.commands.train import check_folders, checks_of_settings, load_setup
from minillm.config import Config
from minillm.config_checks import check_processes
from minillm.data.encoding import Encoded
from minillm.errors import InputError
from minillm.methods.build import check_tokenizer
from minillm.models.adapters import has_adapter
from minillm.planning.backends import BACKENDS, ONE_PROCESS, Backend
from minillm.planning.lengths import Lengths
from minillm.planning.memory import Process
from minillm.planning.passes import Passes
from minillm.planning.speed import throughput
from minillm.planning.work import Work
from minillm.runtime import start_accelerator, uses_cpu
from minillm.training.setup import Setup

NOT_INCLUDED = """\
The memory is an estimate for the longest sequences. Not included: torch and CUDA themselves (about
0.5 GB on a GPU), fragmentation, and buffers of NCCL. docs/distributed.md has measured errors."""


def plan_training(
    config: Config, processes: Sequence[int], given_throughput: str | None, measures: bool
) -> None:
    """Print what `minillm train` would do with the same settings.

    Args:
        config: the settings.
        processes: numbers of processes for which memory is estimated; empty for 1 and up to 8.
        given_throughput: tokens per second, or the folder of an earlier run; None for neither.
        measures: whether the models are loaded and a step is timed. Only then may a launcher have
            started several processes.

    Raises:
        InputError: `minillm train` would refuse the settings. The message has all reasons.
    """
    if any(count < 1 for count in processes):
        raise InputError(f"--processes {min(processes)} is not allowed: it must be at least 1.")
    speed = throughput(given_throughput) if given_throughput else None
    errors = refused(checks_of_settings(config))
    can_plan = not errors
    accelerator = start_accelerator(config) if measures and can_plan else None
    state = accelerator or PartialState(cpu=True)
    counts = processes or usual_counts(config, state.num_processes)
    errors += refused([partial(check_folders, config)])
    errors += refused(partial(check_processes, config, count) for count in counts)
    with nullcontext() if state.is_main_process else redirect_stdout(None):
        try:
            config = with_settings_for_size(config)
            setup, data = load_outline(config)
            if can_plan:
                print_plan(setup, data, counts)
        except InputError as error:
            errors.append(error)
        if errors:
            raise joined(errors)
        work = Work.of(setup)
        if speed:
            print_section("time", throughput_rows(work, speed))
        if accelerator:
            print_section("time", measured(config, accelerator, work))


def refused(checks: Iterable[Callable[[], None]]) -> list[InputError]:
    """The errors of all checks that fail."""
    errors = []
    for check in checks:
        try:
            check()
        except InputError as error:
            errors.append(error)
    return errors


def joined(errors: Sequence[InputError]) -> InputError:
    """One error with all messages."""
    messages = list(dict.fromkeys(map(str, errors)))
    if len(messages) == 1:
        return errors[0]
    lines = "".join(f"\n- {message}" for message in messages)
    return InputError(f"these settings are refused for {len(messages)} reasons:{lines}")


def usual_counts(config: Config, started: int) -> list[int]:
    """The number of processes that a launcher has started; else 1, and up to 8 that fit."""
    if started > 1:
        return [started]
    fitting = (n for n in (8, 4, 2, 1) if not refused([partial(check_processes, config, n)]))
    return sorted({1, next(fitting, 1)})


def load_outline(config: Config) -> tuple[Setup, dict[str, Encoded]]:
    """The data, and models on the meta device.

    Raises:
        InputError: as `load_setup`, except for faults of weights.
    """
    # All models are on the meta device, wherever the settings place the teacher. As in a dry run,
    # plain text is not tokenised.
    runtime = replace(config.runtime, teacher_device=None, teacher_offload=False)
    dry_run = replace(config, runtime=runtime, dry_run=True)
    setup, data = load_setup(dry_run, one_process(torch.device("meta")), make_outline)
    return replace(setup, config=config, device=torch.device("cpu")), data


def one_process(device: torch.device) -> SimpleNamespace:
    """What `load_setup` needs of an `Accelerator`, for one process on `device`."""
    return SimpleNamespace(device=device, process_index=0, num_processes=1,
                           distributed_type=DistributedType.NO)  # fmt: skip


def print_plan(setup: Setup, data: dict[str, Encoded], counts: Sequence[int]) -> None:
    """Print models, data, work and memory of a training.

    Args:
        setup: settings and data, with models on the meta device.
        data: the training and validation splits.
        counts: numbers of processes.

    Raises:
        InputError: the method does not fit the models.
    """
    check_tokenizer(setup)
    config, work = setup.config, Work.of(setup)
    validation = data["validation"].examples[: config.training.validation_inputs]
    print_lines(training_lines(setup, data["validation"].examples, work, None))
    print_section("data", data_rows(setup, data))
    print_section("work", work_rows(setup, work, counts[0]))
    passes = Passes(setup, on_gpu=not uses_cpu(config))
    lengths = Lengths.of(setup.train, validation, config)
    for count in counts:
        memories = {
            backend.name: Process(passes, lengths, len(validation), backend, count).memory()
            for backend in backends(setup, count)
        }
        title = "one process" if count == 1 else f"each of {count} processes"
        print(f"\nmemory of {title}\n{memory_table(memories)}")
    print(f"\n{NOT_INCLUDED}")


def backends(setup: Setup, processes: int) -> Sequence[Backend]:
    """The backends that can train this student with this number of processes."""
    if has_adapter(setup.student.module):  # see `check_training_precision`
        return (ONE_PROCESS if processes == 1 else BACKENDS[0],)
    return BACKENDS if processes > 1 else (ONE_PROCESS, BACKENDS[-1])


def measured(config: Config, accelerator: Accelerator, work: Work) -> list[tuple[str, str]]:
    """Load the models, time a step, and return the rows of the estimate."""
    # As in a dry run, plain text is not tokenised.
    setup, data = load_setup(replace(config, dry_run=True), accelerator)
    seconds = measure(setup, data["validation"].examples, accelerator, work)
    return measured_rows(work, seconds, device_text(config, str(accelerator.device)))
