"""`minillm train`: from settings to a run's folder with its best checkpoint."""

import logging
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import set_seed

from minillm.commands.loading import (
    encode_splits,
    load_frozen,
    make_model,
    make_tokenizer,
    read_records,
)
from minillm.commands.resume import (
    check_checkpoint,
    check_resume,
    find_checkpoint,
    is_finished,
    made_with,
)
from minillm.compat.gloo import settle
from minillm.compose import write_config
from minillm.config import Config
from minillm.config_checks import check_processes
from minillm.errors import InputError
from minillm.evaluation.metrics import check_metrics
from minillm.evaluation.selection import check_select_by
from minillm.evaluation.validation import validate
from minillm.files import read_json, write_json
from minillm.methods import Method, build_method, check_method
from minillm.processes import failing_together
from minillm.runs import (
    CONFIG,
    PROVENANCE,
    SUMMARY,
    check_output,
    create_output,
    provenance,
)
from minillm.runtime import start_accelerator
from minillm.sampling.sampler import Decoding
from minillm.teachers.build import build_teacher
from minillm.training.files import not_written
from minillm.training.loop import Trainer
from minillm.training.run_state import RunState, read_progress
from minillm.training.setup import Setup
from minillm.training.sharding import gather_student, shard_teacher
from minillm.training.tracking import start_tracking

log = logging.getLogger(__name__)


def train(config: Config) -> None:
    """Train a student as the settings say.

    Raises:
        InputError: an input is wrong, found before anything is computed.
        Stopped: by a signal, with a checkpoint.
        TrainingError: the loss is no number any more, or the disk is full.
    """
    output = Path(config.output)
    check_method(config)
    has_teacher = config.teacher.kind != "local" or config.teacher.path is not None
    check_select_by(config.training.select_by, has_teacher)
    check_metrics(config.evaluation.metrics, "evaluation.metrics")
    accelerator = start_accelerator(config, config.output)
    check_processes(config, accelerator.num_processes)
    with failing_together(InputError):
        if accelerator.is_main_process:  # which writes there; the others may see what it wrote
            check_resume(config)
            check_output(output, config.overwrite, config.resume)
    if config.resume and is_finished(config):
        log.info("%s is a finished run: it is left as it is.", output)
        return
    checkpoint = find_checkpoint(config, accelerator)
    set_seed(config.runtime.seed, device_specific=True)  # dropout of its own on each process
    records = read_records(config, ["train", "validation"])
    tokenizer = make_tokenizer(config, records["train"])
    data = encode_splits(records, tokenizer, config)
    student = make_model(config, config.student, tokenizer).to(accelerator.device)
    teacher, shared = build_teacher(config, student, partial(load_frozen, config))
    check_select_by(config.training.select_by, has_teacher=teacher is not None and shared)
    setup = Setup(config, student, teacher, data["train"].examples, accelerator.device,
                  accelerator.process_index, accelerator.num_processes, output, shared)  # fmt: skip
    describe(setup)
    setup = spread(setup, accelerator)
    method = build_method(setup)
    steps = config.training.total_steps(method.epoch_size)
    made = made_with(config, setup.train, accelerator)
    state = RunState(accelerator, output, config.training.keep_checkpoints, made)
    if checkpoint:
        check_checkpoint(checkpoint, made, method, steps, config, accelerator)
    try:
        with state.writing(output):
            if accelerator.is_main_process:
                prepare_output(config, state, checkpoint)
        run(setup, method, data["validation"].examples, state, steps, checkpoint)
    except OSError as error:
        raise not_written(output, error) from error


def prepare_output(config: Config, state: RunState, checkpoint: Path | None) -> None:
    """A new run's folder; or that of one that goes on, as it was at the checkpoint."""
    output, record = Path(config.output), provenance()
    if checkpoint is None:
        create_output(output)
    else:
        output.mkdir(parents=True, exist_ok=True)
        state.restore_outputs(checkpoint)
        (output / SUMMARY).unlink(missing_ok=True)
        begun = read_json(output / PROVENANCE) or record
        resumed = [*begun.get("resumed", []), record | {"checkpoint": str(checkpoint)}]
        record = begun | {"resumed": resumed}
        if (output / "evaluation").exists():
            log.warning("%s/evaluation holds scores of the model before this run went on", output)
    write_config(config, output / CONFIG)
    write_json(output / PROVENANCE, record)


def run(
    setup: Setup,
    method: Method,
    validation: list,
    state: RunState,
    steps: int,
    checkpoint: Path | None,
) -> None:
    """Build the loop, train, and sum the run up."""
    config, training, accelerator = setup.config, setup.config.training, state.accelerator
    scoring = partial(
        validate,
        teacher=setup.teacher.exact() if setup.teacher and setup.shared_tokenizer else None,
        examples=validation[: training.validation_inputs],
        decoding=Decoding(config.data.max_response_length),
        seeds=training.validation_seeds,
        batch_size=config.evaluation.batch_size,
    )
    settings = asdict(config)
    resumed_at = read_progress(checkpoint)["step"] if checkpoint else None
    tracker = start_tracking(accelerator, setup.output, config.runtime.project,
                             config.runtime.trackers, settings, resumed_at)  # fmt: skip
    details = {"method": config.evaluation.name or config.method.name, "seed": config.runtime.seed,
               "run": setup.output.name, "config": settings}  # fmt: skip
    trainer = Trainer(accelerator, setup.student, method, training, steps, scoring, tracker, state,
                      setup.output, details)  # fmt: skip
    try:
        trainer.run(checkpoint)
    finally:
        settle()
        tracker.close()
    if accelerator.is_main_process:
        write_json(setup.output / SUMMARY, trainer.summary())
        log.info("done: the best checkpoint is %s/best", setup.output)


def spread(setup: Setup, accelerator: Accelerator) -> Setup:
    """Student and teacher as they can be read where processes hold parts of their weights."""
    student = gather_student(setup.student, accelerator)
    teacher = setup.teacher
    if teacher and setup.config.runtime.shard_teacher:
        teacher = teacher.replace_models(partial(shard_teacher, accelerator=accelerator))
    return replace(setup, student=student, teacher=teacher)


def describe(setup: Setup) -> None:
    """Say what will happen."""
    student, teacher = setup.student, setup.teacher
    text = f"{setup.config.method.name}: student {student.description}, {student.parameters:,} "
    text += f"parameters, {student.vocab_size} tokens"
    for model in teacher.models if teacher else ():
        text += f"; teacher {model.description}, {model.parameters:,} parameters"
    log.info("%s; on %s, %d process(es)", text, setup.device, setup.world)
