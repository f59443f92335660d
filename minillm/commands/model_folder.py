"""Loads the model of `evaluate` and `generate`: from a run, a causal LM folder, or the Hub."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from accelerate.utils import set_seed

from minillm.adapter_paths import adapter_base
from minillm.commands.loading import (
    encode_splits,
    load_frozen,
    log_splits,
    make_model,
    read_records,
)
from minillm.commands.saved_settings import run_of, saved_settings
from minillm.compose import load_config
from minillm.config import Config, StudentConfig
from minillm.config_checks import validate
from minillm.data.encoding import Example
from minillm.data.records import Record
from minillm.data.tokenizers import tokenizer_of
from minillm.errors import InputError
from minillm.evaluation.metrics import check_labels, check_metrics, check_not_judged
from minillm.evaluation.result import Run
from minillm.files import read_json
from minillm.folders import missing_folder, names_a_folder
from minillm.model_paths import CHECKPOINTS
from minillm.models.broadcast import make_on_main, replicated
from minillm.models.language_model import LanguageModel
from minillm.runs import CONFIG, SUMMARY
from minillm.runtime import start_accelerator
from minillm.teachers import Teacher
from minillm.teachers.build import build_teacher
from minillm.training.checkpoint import checkpoint_details


@dataclass(frozen=True)
class ScoredModel:
    """A loaded model, its teacher if one is named, and the test inputs as text and as tokens.

    `seen_in_training` is the number of test inputs that occur in the training data, if it is known.
    """

    path: Path
    model: LanguageModel
    teacher: Teacher | None
    examples: list[Example]
    details: dict[str, Any] | None  # minillm.json, for a model that `minillm train` has trained
    summary: dict[str, Any] | None  # summary.json of the run, if the run is finished
    test: list[Record]
    seen_in_training: int | None = None


def resolve(folder: str, overrides: list[str]) -> tuple[Config, Path, Path]:
    """The settings, the model's folder or Hub name, and the folder for results.

    The folder of a run means its best checkpoint. A model that `minillm train` has trained uses the
    settings of its run, as `load_config` describes, wherever the model lies. The results go to the
    folder of the run if the run holds the model, and otherwise to `runs/NAME-ID`, where ID depends
    on the path of the model.
    """
    path = Path(folder)
    if path.name in ("", ".."):  # such as `minillm evaluate .`: results are named after the folder
        path = path.resolve()
    if names_a_folder(folder) and not path.is_dir():
        raise missing_folder(folder, "the folder of a run, the folder of a model, or a Hub name")
    if (path / CONFIG).is_file():
        path = path / "best"
        if not path.is_dir():
            raise InputError(f"{folder} is a run without a checkpoint. Train the run first.")
    config = load_config(overrides, saved_settings(path))
    output = run_of(path) or Path("runs") / _distinct_name(path)
    if any(text.startswith("output=") for text in overrides):
        output = Path(config.output)
    name = str(path) if path.is_dir() else folder
    student = replace(config.student, path=name, architecture=None)
    if adapter_base(name) is not None:
        student = with_precision_of_base(student, path, overrides)
    config = replace(config, student=student)
    validate(config)
    check_metrics(config.evaluation.metrics, "evaluation.metrics")
    check_not_judged(config.evaluation.metrics)
    check_labels(config.evaluation.metrics, config.data.labels)
    return config, path, output


def with_precision_of_base(
    student: StudentConfig, path: Path, overrides: list[str]
) -> StudentConfig:
    """The settings of an adapter with the precision of its base in training.

    Settings of the command line have priority.
    """
    details = checkpoint_details(path) or {}
    trained = (details.get("config") or {}).get("student") or {}
    names = [name for name in ("dtype", "load_in_4bit") if name in trained]
    given = {text.partition("=")[0] for text in overrides}
    return replace(student, **{x: trained[x] for x in names if f"student.{x}" not in given})


def with_chat_template(config: Config, path: Path, overrides: Sequence[str]) -> Config:
    """The settings of a model that answers a user.

    A model that no run has trained has the chat template of its tokenizer, if there is one, unless
    the command line names a template or data.

    Raises:
        InputError: its tokenizer cannot be loaded.
    """
    if names_template(path, overrides) or tokenizer_of(config.student).chat_template is None:
        return config
    return replace(config, data=replace(config.data, template="chat"))


def names_template(path: Path, overrides: Sequence[str]) -> bool:
    """Whether the run that trained a model, or the command line, names a template or data."""
    given = ("data=", "data.kind=", "data.template=", "experiment=")
    return saved_settings(path) is not None or any(x.startswith(given) for x in overrides)


def _distinct_name(path: Path) -> str:
    """A name that another folder or Hub name with the same last part does not have."""
    location = path.resolve() if path.is_dir() else path
    digest = hashlib.sha256(str(location).encode()).hexdigest()
    return f"{location.name}-{digest[:8]}"


def result_file(config: Config, path: Path, output: Path) -> Path:
    """The result file of a model in the folder `output`.

    In the folder of its run, the file of a model other than `best` also has the name of the model.
    """
    parts = [config.data.name]
    if output == run_of(path) and model_name(path):
        parts.append(model_name(path))
    return output / "evaluation" / f"{'.'.join(parts)}.json"


def model_name(path: Path) -> str:
    """A model in its run, such as `last` or `step-000100-last`; empty for `best` and no run."""
    run = run_of(path)
    parts = [part for part in path.relative_to(run).parts if part != CHECKPOINTS] if run else []
    return "" if parts == ["best"] else "-".join(parts)


def load_scored_model(config: Config, path: Path, *, with_teacher: bool = True) -> ScoredModel:
    """Load the model, the test split, and the teacher if `with_teacher` is true and one is named.

    Raises:
        InputError: one of them cannot be loaded, or they do not fit together.
    """
    accelerator = start_accelerator(config)
    set_seed(config.runtime.seed)
    _check_data(config, path)
    records = read_records(config, ["test"])
    tokenizer = tokenizer_of(config.student)
    encoded = encode_splits(records, tokenizer, config)
    log_splits(encoded, config)
    device = accelerator.device
    made = make_on_main(
        partial(make_model, config, config.student, tokenizer),
        everywhere=config.student.load_in_4bit,
    )
    model = replicated(made, device)
    model.module.eval()
    teacher = None
    if with_teacher and config.teacher.kind != "average":  # no folder holds the average
        teacher, shared = build_teacher(config, model, device, partial(load_frozen, config))
        teacher = teacher.exact() if teacher and shared else None
    details = checkpoint_details(path)
    run = run_of(path)
    summary = read_json(run / SUMMARY) if run and details else None
    examples = encoded["test"].examples
    return ScoredModel(path, model, teacher, examples, details, summary, records["test"])


def trained_run(path: Path) -> Run | None:
    """The finished run that trained the model of a folder; None for any other model."""
    details, run = checkpoint_details(path), run_of(path)
    summary = read_json(run / SUMMARY) if run and details else None
    if summary is None:
        return None
    return Run("/".join(filter(None, (details["run"], model_name(path)))), summary["history"])


def _check_data(config: Config, path: Path) -> None:
    """Refuse data that are gone. The error names the model, whose saved settings may name them."""
    data = config.data
    if data.kind not in (None, "embedded", "hub") and not Path(data.path).exists():
        raise InputError(
            f"there is no file or folder data.path={data.path}, which holds the test inputs for "
            f"{path}. Give the place of these data (data.path=PATH), or name other data, such as "
            f"data=jsonl data.path=PATH."
        )
