"""The step `train` of `minillm system2`, and what the other steps need of a trained model."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from minillm.commands.model_folder import resolve, with_chat_template
from minillm.commands.train import train
from minillm.compose import load_config
from minillm.config import Config
from minillm.errors import InputError
from minillm.files import read_json, write_json
from minillm.runs import SUMMARY
from minillm.system2.answers import differences
from minillm.system2.folder import TRAIN, VALIDATION, kept_folder, kept_made_with, load_questions
from minillm.system2.settings import Study

DISTILLATION = "system2/sft"  # the experiment if none is named
COUNTS = "counts.json"  # of the kept answers
LONGEST = "longest_teacher_prompt"  # in tokens, in counts.json
MADE_WITH = "made_with"  # the settings of the kept answers, in counts.json


def distil(model: str, study: Study) -> None:
    """Train the model on the answers that `filter` has kept.

    The settings of the training are those of the experiment, by default `system2/sft`. The teacher
    of a method that has one is the same model behind its System 2 prompt.

    Raises:
        InputError: there are no kept answers of this model and these settings, a run of this name
            was trained on other answers or with other settings, or a setting of the training is
            wrong.
    """
    folder = kept_folder(study)
    config = model_settings(model, replace(study, words=[]))
    counts = kept_counts(study, config)
    words = training_words(study, config, counts)
    settings = load_config([*words, "output=runs/unnamed"])
    if settings.method.needs_teacher and not _names(study, "teacher.path"):
        words.append(f"teacher.path={config.student.path}")
    name = study.config.name or f"{folder.name}-{settings.method.name}"
    output = study.folder / "models" / name
    record = record_of_kept(output)
    known = read_json(record) if output.exists() else None
    if known and known["checksum"] != counts["checksum"]:
        raise InputError(
            f"{output} was trained on other answers than those that are in {folder} now. Give "
            f"another system2.name, or delete {output} and {record}."
        )
    if not known:
        write_json(record, counts)
    train(load_config([*words, f"output={output}"]))


def kept_counts(study: Study, config: Config) -> dict[str, Any]:
    """The counts of the kept answers, with a checksum of their files.

    Raises:
        InputError: there are no kept answers, or they are of another model or of other settings.
    """
    folder = kept_folder(study)
    counts = read_json(folder / COUNTS)
    files = [folder / f"{split}.jsonl" for split in (TRAIN, VALIDATION)]
    if MADE_WITH not in (counts or {}) or not all(file.is_file() for file in files):
        raise InputError(
            f"there are no kept answers in {folder}. Run `minillm system2 filter` with the same "
            f"settings first."
        )
    now = kept_made_with(study, config, load_questions(study, TRAIN))
    # The training has a template and lengths of its own, and a server is no part of it.
    skipped = {"template", "max_prompt_length", "max_response_length", "server"}
    if counts[MADE_WITH].get("server"):
        skipped.add("weights")
    now = {key: value for key, value in now.items() if key not in skipped}
    changed = differences(counts[MADE_WITH], now)
    if changed:
        raise InputError(
            f"the answers in {folder} were made with {changed}. Give the same settings, or run "
            f"`minillm system2 generate` and `filter` with these settings first."
        )
    rows = b"".join(file.read_bytes() for file in files)
    return counts | {"checksum": hashlib.sha256(rows).hexdigest()[:16]}


def training_words(study: Study, config: Config, counts: dict[str, Any]) -> list[str]:
    """The settings of the training, without its output; those of the command line come last."""
    data, student = config.data, config.student
    defaults = {
        "experiment": DISTILLATION,
        "data": "jsonl",
        "data.name": study.name,
        "data.path": str(kept_folder(study)),
        "data.validation": f"{VALIDATION}.jsonl",
        "data.test": f"{VALIDATION}.jsonl",
        "data.template": data.template,
        "data.tokenize": data.tokenize,
        "data.max_prompt_length": data.max_prompt_length,
        "data.max_teacher_prompt_length": max(data.max_prompt_length, counts[LONGEST]),
        "data.max_response_length": data.max_response_length,
        "data.special_tokens": str(data.special_tokens).lower(),
        "student.path": student.path,
        "resume": "auto",
    }
    words = [f"{key}={value}" for key, value in defaults.items() if not _names(study, key)]
    return [*words, *study.words]


def _names(study: Study, key: str) -> bool:
    """Whether the command line has this setting of the model."""
    return any(word.partition("=")[0] == key for word in study.words)


def model_settings(model: str, study: Study) -> Config:
    """The settings of a model, which has the template of its training or its chat template."""
    config, path, _ = resolve(model, ["teacher.path=null", *study.words])
    return with_chat_template(config, path, study.words)


def trained(config: Config) -> dict[str, Any] | None:
    """The rows, steps and seconds of the run of a distilled model; None for another model."""
    run = Path(config.student.path).parent
    summary = read_json(run / SUMMARY)
    counts = read_json(record_of_kept(run))
    if summary is None or counts is None:
        return None
    return {
        "method": config.method.name,
        "rows": counts["kept"],
        "outcomes": counts["outcomes"],
        "share_right": counts["share_right"],
        "summary": {key: summary[key] for key in ("seconds", "best_step") if key in summary},
    }


def record_of_kept(run: Path) -> Path:
    """The file beside a run that has the counts of its training data."""
    return run.with_name(f"{run.name}.kept.json")
