"""`minillm train`: trains a student and writes the folder of the run."""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import set_seed

from minillm.commands.dry_run import print_training
from minillm.commands.loading import (
    MakeModel,
    check_data_is_named,
    encode_splits,
    load_frozen,
    log_splits,
    make_model,
    make_tokenizer,
    read_records,
)
from minillm.commands.resume import (
    check_checkpoint,
    check_resume,
    find_checkpoint,
    is_finished,
    run_identity,
)
from minillm.commands.run_messages import final_lines, first_lines
from minillm.commands.size import with_settings_for_size
from minillm.compat import hub
from minillm.compat.gloo import settle
from minillm.compose import write_config
from minillm.config import Config
from minillm.config_checks import check_processes
from minillm.data.encoding import Encoded, Example
from minillm.data.plain_text import check_plain_text, load_plain_text
from minillm.evaluation.metrics import check_metrics
from minillm.evaluation.selection import check_select_by
from minillm.evaluation.validation import validate
from minillm.files import read_json, write_json
from minillm.methods import Method, build_method, check_method
from minillm.models.broadcast import make_on_main, replicated
from minillm.models.language_model import LanguageModel
from minillm.models.recomputation import recomputing
from minillm.processes import from_main
from minillm.runs import (
    CONFIG,
    PROVENANCE,
    SUMMARY,
    WORKING_FOLDER,
    check_inputs_are_kept,
    check_output,
    create_output,
    deleting_failed_start,
    provenance,
)
from minillm.runtime import check_training_precision, start_accelerator, uses_deepspeed
from minillm.sampling.sampler import Decoding
from minillm.sources.teacher_written import check_response_file
from minillm.teachers.build import build_teacher
from minillm.training.files import not_written
from minillm.training.loop import Trainer
from minillm.training.run_state import RunState, read_progress
from minillm.training.setup import Setup
from minillm.training.sharding import gather_student, shard_teacher, shards_weights
from minillm.training.tracking import choose_wandb_mode, start_tracking

log = logging.getLogger(__name__)


def train(config: Config, make: MakeModel = make_model) -> None:
    """Train a student as the settings specify.

    Args:
        config: all settings.
        make: makes student and teacher in host memory.

    Raises:
        InputError: an input is wrong; nothing was computed.
        Stopped: a signal stopped the run, which wrote a checkpoint.
        TrainingError: the loss is not finite, or a file could not be written.
    """
    for check in checks_of_settings(config):
        check()
    output = Path(config.output)
    accelerator = start_accelerator(config, None if config.dry_run else config.output)
    config = with_settings_for_size(config)
    check_processes(config, accelerator.num_processes)
    from_main(partial(check_folders, config))
    wandb_mode = from_main(partial(choose_wandb_mode, config.runtime.trackers))
    if config.resume and from_main(partial(is_finished, config)):
        log.info("%s is a finished run, so it is not changed.", output)
        return
    checkpoint = from_main(partial(find_checkpoint, config))
    set_seed(config.runtime.seed, device_specific=True)  # dropout masks differ between processes
    setup, data = load_setup(config, accelerator, make)
    validation = data["validation"].examples
    log_splits(data, config)
    log_setup(setup)
    if config.dry_run:
        print_training(setup, validation, checkpoint)
        return
    setup = replace(setup, student=gather_student(setup.student, accelerator))
    method = build_method(setup)
    steps = config.training.total_steps(method.epoch_size)
    identity = run_identity(config, setup.train, accelerator, setup.plain_text)
    state = RunState(accelerator, output, config.training.keep_checkpoints, identity)
    if checkpoint:
        from_main(partial(check_checkpoint, checkpoint, identity, method=method, steps=steps,
                          config=config, accelerator=accelerator))  # fmt: skip
    is_new = checkpoint is None and accelerator.is_main_process
    try:
        with deleting_failed_start(output) if is_new else nullcontext():
            with state.writing(output):
                if accelerator.is_main_process:
                    prepare_output(config, state, checkpoint)
            run(setup, method, state, steps=steps, validation=validation, checkpoint=checkpoint,
                wandb_mode=wandb_mode)  # fmt: skip
    except OSError as error:
        raise not_written(output, error) from error


def checks_of_settings(config: Config) -> list[Callable[[], None]]:
    """Checks that need neither data nor models. Each raises InputError for wrong settings."""
    has_teacher = config.teacher.kind != "local" or config.teacher.path is not None
    return [
        partial(check_data_is_named, config),
        partial(check_method, config),
        partial(check_select_by, config.training.select_by, has_teacher),
        partial(check_metrics, config.evaluation.metrics, "evaluation.metrics"),
        partial(check_training_precision, config),
    ]


def load_setup(
    config: Config, accelerator: Accelerator, make: MakeModel = make_model
) -> tuple[Setup, dict[str, Encoded]]:
    """Read the data and load the models. The result has the training and validation splits, too.

    Args:
        config: all settings.
        accelerator: processes and device.
        make: makes a model in host memory, or without memory.

    Raises:
        InputError: data or a model cannot be read, or they do not fit together.
    """
    records = read_records(config, ["train", "validation"])
    tokenizer = make_tokenizer(config, records["train"])
    data = encode_splits(records, tokenizer, config)
    student = make_on_main(
        partial(make, config, config.student, tokenizer), everywhere=config.student.load_in_4bit
    )
    if not shards_weights(accelerator):  # `prepare` shards the weights
        student = replicated(student, accelerator.device)
    if uses_deepspeed():  # its engine computes in half precision without autocast
        student = replace(student, autocast=None)
    if config.runtime.gradient_checkpointing:
        student = recomputing(student)
    teacher, shared = build_teacher(
        config, student, accelerator.device, partial(load_frozen, config, make=make),
        shard=partial(shard_teacher, accelerator=accelerator),
    )  # fmt: skip
    check_select_by(config.training.select_by, has_teacher=teacher is not None and shared)
    # Last, because a new text may take an hour, and a wrong model is refused in seconds.
    plain_text = None if config.dry_run else load_plain_text(config, tokenizer)
    setup = Setup(
        config=config, student=student, teacher=teacher, train=data["train"].examples,
        device=accelerator.device, rank=accelerator.process_index, world=accelerator.num_processes,
        output=Path(config.output), shared_tokenizer=shared,
        plain_text=plain_text,
    )  # fmt: skip
    return setup, data


def check_folders(config: Config) -> None:
    """Refuse a wrong checkpoint, output folder, response file or corpus, before anything is loaded.

    Raises:
        InputError: the message names the setting and says what is allowed.
    """
    check_resume(config)
    check_inputs_are_kept(config)
    check_output(Path(config.output), config.overwrite, config.resume)
    check_response_file(config)
    check_plain_text(config)


def prepare_output(config: Config, state: RunState, checkpoint: Path | None) -> None:
    """Create the folder of a new run, or restore the folder of a run that continues."""
    output, record = Path(config.output), provenance() | {WORKING_FOLDER: str(Path.cwd())}
    if checkpoint is None:
        create_output(output)
    else:
        output.mkdir(parents=True, exist_ok=True)
        state.restore_outputs(checkpoint)
        (output / SUMMARY).unlink(missing_ok=True)
        first_record = read_json(output / PROVENANCE) or record
        resumed = [*first_record.get("resumed", []), record | {"checkpoint": str(checkpoint)}]
        # config.yaml has the paths of this command.
        record = first_record | {"resumed": resumed, WORKING_FOLDER: record[WORKING_FOLDER]}
        if (output / "evaluation").exists():
            log.warning("%s/evaluation holds scores from before this run was continued", output)
    write_config(config, output / CONFIG)
    write_json(output / PROVENANCE, record)


def run(
    setup: Setup,
    method: Method,
    state: RunState,
    *,
    steps: int,
    validation: list[Example],
    checkpoint: Path | None,
    wandb_mode: str | None,
) -> None:
    """Build the loop, train, and write the summary of the run."""
    config, training, accelerator = setup.config, setup.config.training, state.accelerator
    settings = asdict(config)
    resumed_at = from_main(partial(read_progress, checkpoint))["step"] if checkpoint else None
    tracker = start_tracking(
        accelerator, setup.output, name=config.runtime.project, trackers=config.runtime.trackers,
        config=settings, resumed_at=resumed_at, wandb_mode=wandb_mode,
    )  # fmt: skip
    details = {"method": config.evaluation.name or config.method.name, "seed": config.runtime.seed,
               "run": setup.output.name, WORKING_FOLDER: str(Path.cwd()),
               "hub": hub.commits(), "config": settings}  # fmt: skip
    trainer = Trainer(
        accelerator=accelerator, student=setup.student, method=method, training=training,
        steps=steps, validate=validation_of(setup, validation), tracker=tracker, state=state,
        output=setup.output, details=details,
    )  # fmt: skip
    log.info("%s", first_lines(setup.output, steps, resumed_at, training.seconds))
    try:
        trainer.run(checkpoint)
    finally:
        settle()
        tracker.close()
    if accelerator.is_main_process:
        summary = trainer.summary()
        write_json(setup.output / SUMMARY, summary)
        log.info("%s", final_lines(setup.output, summary, select_by=training.select_by,
                                   trackers=config.runtime.trackers))  # fmt: skip


def validation_of(
    setup: Setup, validation: list[Example]
) -> Callable[[LanguageModel], dict[str, float]]:
    """A function that computes the scores of a student on the inputs of a validation."""
    config = setup.config
    return partial(
        validate,
        teacher=setup.teacher.exact() if setup.teacher and setup.shared_tokenizer else None,
        examples=validation[: config.training.validation_inputs],
        decoding=Decoding(config.data.max_response_length),
        training=config.training,
        batch_size=config.evaluation.batch_size,
    )


def log_setup(setup: Setup) -> None:
    """Log method, models and device of the run."""
    student, teacher = setup.student, setup.teacher
    text = (
        f"method {setup.config.method.name}: student {student.description}, {student.parameters:,} "
    )
    text += f"parameters, {student.vocab_size} tokens"
    if student.trained_parameters < student.parameters:
        text += f", {student.trained_parameters:,} parameters are trained"
    for model in teacher.models if teacher else ():
        text += f"; teacher {model.description}, {model.parameters:,} parameters"
    log.info("%s; on %s, %d process(es)", text, setup.device, setup.world)
