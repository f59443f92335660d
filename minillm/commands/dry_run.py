"""`dry_run=true` of `train` and `evaluate`: prints what the command would do; writes nothing."""

from dataclasses import replace
from pathlib import Path

from accelerate import PartialState

from minillm.commands.model_folder import ScoredModel
from minillm.config import Config, TokenLossConfig
from minillm.data.encoding import Example
from minillm.methods import build_method
from minillm.methods.build import check_tokenizer
from minillm.models.language_model import LanguageModel
from minillm.training.setup import Setup


def print_training(setup: Setup, validation: list[Example], checkpoint: Path | None) -> None:
    """Print models, data, steps and output of a training.

    Args:
        setup: models and training data of the run.
        validation: the validation split.
        checkpoint: from where the run would continue; None for a new run.
    """
    config, training = setup.config, setup.config.training
    steps = training.total_steps(_epoch_size(setup))
    inputs = min(len(validation), training.validation_inputs)
    teachers = setup.teacher.models if setup.teacher else ()
    output = config.output
    if checkpoint:
        output += f", continued from {checkpoint}"
    elif config.overwrite and Path(config.output).exists():
        output += ", after the run there is deleted"
    _print(
        method=config.method.name,
        student=_model(setup.student),
        teacher="; ".join(map(_model, teachers)) or "none",
        data=f"{config.data.name}, {len(setup.train)} training inputs, {inputs} validation inputs",
        steps=f"{steps} of {training.batch_size} sequences, learning rate {training.lr} "
        f"({training.schedule}, {training.warmup_steps} warm-up steps)",
        validation=f"every {training.evaluate_every} steps; the best checkpoint is selected by "
        f"{training.select_by}",
        device=_device(config, str(setup.device))
        + ", gradient checkpointing" * config.runtime.gradient_checkpointing,
        output=output,
    )


def print_evaluation(config: Config, scored: ScoredModel, examples: int, file: Path) -> None:
    """Print models, data, decoding and result file of an evaluation of `examples` inputs."""
    settings = config.evaluation
    seeds = f"seeds {', '.join(map(str, settings.seeds))} at temperature {settings.temperature}"
    greedy = "greedy decoding and " if settings.greedy and settings.temperature else ""
    _print(
        model=_model(scored.model),
        teacher="; ".join(map(_model, scored.teacher.models)) if scored.teacher else "none",
        data=f"{config.data.name}, {examples} test inputs",
        responses="greedy decoding" if not settings.temperature else greedy + seeds,
        frontier=f"{settings.frontier or []} and top-p {settings.frontier_top_p or []}"
        if settings.has_frontier
        else "none",
        device=_device(config, str(scored.model.device)),
        result=str(file),
    )


def _epoch_size(setup: Setup) -> int:
    """Sequences of one pass over the data. The method is built, because this checks it.

    The method that trains on responses of the teacher is not built, because it writes their file.
    L_PT is left out, because its corpus is tokenised into a file.
    """
    method = setup.config.method
    if isinstance(method, TokenLossConfig) and method.source == "teacher":
        check_tokenizer(setup)
        return len(setup.train) * method.samples_per_prompt
    config = replace(setup.config, method=replace(method, lm_coef=0.0))
    return build_method(replace(setup, config=config)).epoch_size


def _model(model: LanguageModel) -> str:
    name = model.module.name_or_path or "random weights"
    return f"{model.description}, {model.parameters:,} parameters, {name}"


def _device(config: Config, device: str) -> str:
    runtime = config.runtime
    precision = "float32" if runtime.mixed_precision == "no" else runtime.mixed_precision
    text = f"{device}, {precision}, {PartialState().num_processes} process(es)"
    return text + f", attention {runtime.attn_implementation}" * bool(runtime.attn_implementation)


def _print(**lines: str) -> None:
    if PartialState().is_main_process:
        for name, text in lines.items():
            print(f"{name + ':':11} {text}")
        print("This was a dry run: nothing was written.")
