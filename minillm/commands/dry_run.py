"""`dry_run=true` of `train` and `evaluate`: prints what the command would do; writes nothing."""

from pathlib import Path

from accelerate import PartialState

from minillm.commands.model_folder import ScoredModel
from minillm.config import Config
from minillm.data.encoding import Example
from minillm.methods.build import build_losses, check_tokenizer
from minillm.models.language_model import LanguageModel
from minillm.planning.work import Work
from minillm.training.setup import Setup


def print_training(setup: Setup, validation: list[Example], checkpoint: Path | None) -> None:
    """Print models, data, steps and output of a training.

    Args:
        setup: models and training data of the run.
        validation: the validation split.
        checkpoint: from where the run would continue; None for a new run.
    """
    check_tokenizer(setup)
    build_losses(setup)  # this checks the layers that the settings name
    lines = training_lines(setup, validation, Work.of(setup), checkpoint)
    _print(lines | {"device": device_text(setup.config, str(setup.device))})


def training_lines(
    setup: Setup, validation: list[Example], work: Work, checkpoint: Path | None
) -> dict[str, str]:
    """What a training would do, as a text by name; `minillm plan` begins with the same lines.

    The arguments are those of `print_training`, and the work of the run.
    """
    config, training = setup.config, setup.config.training
    inputs = min(len(validation), training.validation_inputs)
    teachers = setup.teacher.models if setup.teacher else ()
    output = config.output
    if checkpoint:
        output += f", continued from {checkpoint}"
    elif config.overwrite and Path(config.output).exists():
        output += ", after the run there is deleted"
    return {
        "method": config.method.name,
        "student": _model(setup.student),
        "teacher": "; ".join(map(_model, teachers)) or "none",
        "data": f"{config.data.name}, {len(setup.train)} training inputs, "
        f"{inputs} validation inputs",
        "steps": f"{work.steps} of {training.batch_size} sequences, learning rate {training.lr} "
        f"({training.schedule}, {training.warmup_steps} warm-up steps)",
        "validation": f"every {training.evaluate_every} steps; the best checkpoint is selected by "
        f"{training.select_by}",
        "output": output,
    }


def print_evaluation(config: Config, scored: ScoredModel, examples: int, file: Path) -> None:
    """Print models, data, decoding and result file of an evaluation of `examples` inputs."""
    settings = config.evaluation
    seeds = f"seeds {', '.join(map(str, settings.seeds))} at temperature {settings.temperature}"
    greedy = "greedy decoding and " if settings.greedy and settings.temperature else ""
    frontier = f"{settings.frontier or []} and top-p {settings.frontier_top_p or []}"
    _print({
        "model": _model(scored.model),
        "teacher": "; ".join(map(_model, scored.teacher.models)) if scored.teacher else "none",
        "data": f"{config.data.name}, {examples} test inputs",
        "responses": "greedy decoding" if not settings.temperature else greedy + seeds,
        "frontier": frontier if settings.has_frontier else "none",
        "exposure": f"{settings.exposure_samples} responses per prompt of student and of teacher"
            if settings.exposure_samples else "none",
        "device": device_text(config, str(scored.model.device)),
        "result": str(file),
    })  # fmt: skip


def _model(model: LanguageModel) -> str:
    name = model.module.name_or_path or "random weights"
    return f"{model.description}, {model.parameters:,} parameters, {name}"


def device_text(config: Config, device: str) -> str:
    runtime = config.runtime
    precision = "float32" if runtime.mixed_precision == "no" else runtime.mixed_precision
    text = f"{device}, {precision}, {PartialState().num_processes} process(es)"
    text += ", gradient checkpointing" * runtime.gradient_checkpointing
    return text + f", attention {runtime.attn_implementation}" * bool(runtime.attn_implementation)


def _print(lines: dict[str, str]) -> None:
    if PartialState().is_main_process:
        print_lines(lines)
        print("This was a dry run: nothing was written.")


def print_lines(lines: dict[str, str]) -> None:
    """Print texts with their names, aligned."""
    for name, text in lines.items():
        print(f"{name + ':':11} {text}")
