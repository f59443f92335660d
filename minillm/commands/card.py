"""What the model card of an exported model says: from which models and data it was made, and how.

No path of this machine is in the card. A folder is named by its last part, or by its run.
"""

import hashlib
import logging
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from minillm.adapter_paths import adapter_base
from minillm.commands.data import jsonl
from minillm.commands.loading import read_records
from minillm.commands.model_folder import result_file
from minillm.commands.origins import Origin, is_hub_name, origins
from minillm.commands.saved_settings import run_of
from minillm.compat import hub
from minillm.config import Config, MiniLLMConfig, TokenLossConfig
from minillm.data.loaders import splits_of
from minillm.data.records import Record
from minillm.data.templates import prompt_text
from minillm.errors import InputError
from minillm.evaluation.result import Result
from minillm.files import read_json
from minillm.model_paths import run_folder
from minillm.models.language_model import LanguageModel
from minillm.reporting.model_card import Card, Split, Usage
from minillm.reporting.results import load_results
from minillm.runs import PROVENANCE, SUMMARY
from minillm.training.checkpoint import checkpoint_details

log = logging.getLogger(__name__)

INSTRUCTION = "Name three primary colours."  # of the example prompt
# An absolute path in a word of a command: at its start, or in a setting, list or mapping.
ABSOLUTE_PATH = re.compile(r"(^|[=:,\[{ ])(~?/[^,\]}]*)")


def make_card(
    config: Config,
    path: Path,
    results: Path,
    model: LanguageModel,
    name: str,
    license_name: str | None,
    *,
    knows_template: bool,
) -> Card:
    """The card of a model.

    Args:
        config: the settings of the run that trained the model, or of the command.
        path: the folder or Hub name of the model.
        results: the folder of its results.
        model: the model as it is exported.
        name: the name of the folder or repository of the export.
        license_name: None if no licence is stated.
        knows_template: whether the settings have the template of the prompts of the training.
    """
    details, run = checkpoint_details(path) or {}, run_of(path)
    steps = origins(str(path))
    method = details.get("method")
    summary = (read_json(run / SUMMARY) if run else None) or {}
    made = read_json(run / PROVENANCE) if run else details if "command" in details else None
    teachers = teachers_of(config, details) if method else []
    scores = [("model", result) for result in results_of(config, path, results)]
    for teacher in map(Path, teachers):
        if folder := run_of(teacher):
            scores += [("teacher", result) for result in results_of(config, teacher, folder)]
    dtype = str(model.module.dtype).removeprefix("torch.")
    return Card(
        name=name,
        metadata=metadata(config, steps, details, license_name),
        model=f"{model.description}, {model.parameters:,} parameters in {dtype}",
        usage=usage(config, model, knows_template=knows_template),
        origins=[in_words(step) for step in steps],
        method=method,
        settings=settings_of(details["config"]) if method else None,
        teachers=["; ".join([without_path(x), *map(in_words, origins(x))]) for x in teachers],
        data=describe_data(config) if method else None,
        splits=read_splits(config) if method else (),
        results=scores,
        history=summary.get("history", ()),
        provenance=made and with_public_commands(made),
    )


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run that the card has: method and training, adapter and 4-bit weights."""
    chosen = {key: dict(config[key]) for key in ("method", "training")}
    if chosen["method"].get("file"):
        chosen["method"]["file"] = Path(chosen["method"]["file"]).name
    for section in ("student", "teacher"):
        model = config[section]
        if model.get("load_in_4bit") or (model.get("lora") or {}).get("rank"):
            names = ("dtype", "load_in_4bit", "lora")
            chosen[section] = {name: model[name] for name in names if name in model}
    return chosen


def teachers_of(config: Config, details: dict[str, Any]) -> list[str]:
    """The folders or Hub names of the teachers from which a model has learnt.

    A run may name a teacher only to measure the reverse KL.
    """
    saved = details["config"]["method"]
    schema = MiniLLMConfig if "variant" in saved else TokenLossConfig
    known = {field.name for field in fields(schema)}
    method = schema(**{key: value for key, value in saved.items() if key in known})
    if not method.needs_teacher:
        return []
    members = [member.path for member in config.teacher.members]
    return [x for x in (config.teacher.path, *members) if x is not None]


def results_of(config: Config, path: Path, folder: Path) -> list[Result]:
    """The results of a model in a folder of results, by name of the data."""
    files = sorted((folder / "evaluation").glob("*.json"))
    pairs = [(file, result) for file in files for result in load_results([file])]
    return [
        result
        for file, result in pairs
        if file == result_file(replace(config, data=replace(config.data, name=result.data)),
                               path, folder)
    ]  # fmt: skip


def metadata(
    config: Config, steps: Sequence[Origin], details: dict[str, Any], license_name: str | None
) -> dict[str, Any]:
    """What the card tells the Hub. Only names that were read from the Hub are named."""
    values: dict[str, Any] = {}
    if "method" in details:
        values["tags"] = ["minillm", "distillation", details["method"]]
        if config.data.kind == "hub" and is_hub_name(config.data.path):
            values["datasets"] = [config.data.path]
    elif "original" in details:
        values["tags"] = ["minillm", "pruning"]
    if base := base_model(config, steps):
        values["base_model"] = base
    if license_name:
        values["license"] = license_name
    return values


def base_model(config: Config, steps: Sequence[Origin]) -> str | None:
    """The Hub name of the first model of `steps`; None if it was not read from the Hub."""
    if steps:
        return steps[-1].name if steps[-1].commit else None
    source = config.student
    base = adapter_base(source.path)
    name = hub.key(base, None) if base else hub.key(source.path, source.revision)
    return base or source.path if name in hub.commits() else None


def in_words(step: Origin) -> str:
    """A step of `origins`, in words."""
    if step.name is None:
        return step.how
    version = f" at revision {step.revision}" if step.revision else ""
    version = f" at commit {step.commit}" if step.commit else version
    return f"{step.how}, from {without_path(step.name)}{version}"


def without_path(name: str) -> str:
    """A model without a path of this machine: a Hub name, a model of a run, or a folder."""
    if is_hub_name(name):
        return name
    path = Path(name).absolute()
    run = run_folder(path)
    return f"{path.relative_to(run)} of the run {run.name}" if run else path.name


def with_public_commands(made: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance of a run, whose commands have `.../NAME` for absolute paths."""
    resumed = [x | {"command": _public(x["command"])} for x in made.get("resumed", ())]
    return {**made, "command": _public(made["command"]), "resumed": resumed}


def _public(command: str) -> str:
    words = [
        ABSOLUTE_PATH.sub(lambda match: f"{match[1]}.../{Path(match[2]).name}", word)
        for word in shlex.split(command)
    ]
    return shlex.join(words)


def usage(config: Config, model: LanguageModel, *, knows_template: bool) -> Usage:
    """How prompts are made: the template of the settings, if it is known, with an example."""
    template = config.data.template if knows_template else "ready"
    record = Record(instruction=INSTRUCTION, references=("",), prompt=INSTRUCTION)
    return Usage(
        template=template if knows_template else None,
        prompt=prompt_text(record, template, model.tokenizer),
        instruction=INSTRUCTION,
        adds_special_tokens=config.data.special_tokens and template != "chat",
        max_length=config.data.max_response_length,
    )


def describe_data(config: Config) -> str:
    """The name of the data, and where they are from."""
    data = config.data
    if data.kind == "embedded":
        return f"{data.name}: small tasks that minillm generates (data.seed={data.seed})"
    revision = f", revision {data.revision}" if data.revision else ""
    place = data.path if data.kind == "hub" and is_hub_name(data.path) else Path(data.path).name
    return f"{data.name}: {data.kind}, {place}{revision}"


def read_splits(config: Config) -> list[Split]:
    """The sizes and checksums of the splits; empty if the data cannot be read any more."""
    try:
        records = read_records(config, splits_of(config.data))
    except InputError as error:
        log.warning("The card has no counts of the data: %s", error)
        return []
    return [
        Split(
            name=name,
            inputs=len(rows),
            references=sum(len(row.references) for row in rows),
            sha256=hashlib.sha256(jsonl(rows)).hexdigest(),
        )
        for name, rows in records.items()
    ]
