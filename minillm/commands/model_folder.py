"""Loads the model of `evaluate` and `generate`: from a run, a causal LM folder, or the Hub."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from accelerate.utils import set_seed

from minillm.commands.loading import (
    encode_splits,
    load_frozen,
    make_model,
    read_records,
)
from minillm.compose import load_config, read_config
from minillm.config import Config
from minillm.config_checks import validate
from minillm.data.encoding import Example
from minillm.data.records import Record
from minillm.data.tokenizers import load_tokenizer
from minillm.errors import InputError
from minillm.evaluation.metrics import check_metrics
from minillm.files import read_json
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

    The folder of a run means its best checkpoint. Then the settings of the run are used as
    `load_config` describes, and the results go to the folder of the run.
    """
    path = Path(folder)
    if (path / CONFIG).is_file():
        path = path / "best"
        if not path.is_dir():
            raise InputError(f"{folder} is a run without a checkpoint. Train the run first.")
    saved = path.parent / CONFIG
    is_run = path.is_dir() and saved.is_file()
    config = load_config(overrides, read_config(saved) if is_run else None)
    output = path.parent if is_run else Path("runs") / path.name
    if any(text.startswith("output=") for text in overrides):
        output = Path(config.output)
    name = str(path) if path.is_dir() else folder
    student = replace(config.student, path=name, architecture=None)
    config = replace(config, student=student)
    validate(config)
    check_metrics(config.evaluation.metrics, "evaluation.metrics")
    return config, path, output


def load_scored_model(config: Config, path: Path, *, with_teacher: bool = True) -> ScoredModel:
    """Load the model, the test split, and the teacher if `with_teacher` is true and one is named.

    Raises:
        InputError: one of them cannot be loaded, or they do not fit together.
    """
    accelerator = start_accelerator(config)
    set_seed(config.runtime.seed)
    records = read_records(config, ["test"])
    tokenizer = load_tokenizer(config.student.tokenizer or str(path))
    examples = encode_splits(records, tokenizer, config)["test"].examples
    model = make_model(config, config.student, tokenizer).to(accelerator.device)
    model.module.eval()
    teacher = None
    if with_teacher and config.teacher.kind != "average":  # no folder holds the average
        teacher, shared = build_teacher(config, model, partial(load_frozen, config))
        teacher = teacher.exact() if teacher and shared else None
    details = checkpoint_details(path)
    summary = read_json(path.parent / SUMMARY) if details else None
    return ScoredModel(path, model, teacher, examples, details, summary, records["test"])
