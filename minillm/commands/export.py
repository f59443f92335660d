"""`minillm export`: writes a model as a Hugging Face folder that is ready to be published.

OUTPUT/              weights, tokenizer and generation config
OUTPUT/README.md     the model card
OUTPUT/minillm.json  how the model was made, for `minillm evaluate OUTPUT`; `--push` leaves it out,
                     because it has paths of this machine
"""

import hashlib
import logging
import shlex
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
from huggingface_hub.utils import validate_repo_id

from minillm.commands.data import jsonl
from minillm.commands.dry_run import print_lines
from minillm.commands.loading import completed, read_records
from minillm.commands.model_folder import resolve, result_file, with_chat_template
from minillm.commands.origins import Origin, is_hub_name, origins
from minillm.commands.prune import check_one_process, save
from minillm.commands.saved_settings import run_of
from minillm.compat import hub
from minillm.config import Config, MiniLLMConfig, TokenLossConfig
from minillm.data.loaders import splits_of
from minillm.data.records import Record
from minillm.data.templates import prompt_text
from minillm.data.tokenizers import tokenizer_of
from minillm.errors import InputError, WriteError, first_line
from minillm.evaluation.result import Result
from minillm.files import check_new_folder, read_json
from minillm.models.finite import fault_in_weights
from minillm.models.language_model import LanguageModel, check_finite, load_model
from minillm.reporting.model_card import Card, Split, Usage, card_text
from minillm.reporting.results import load_results
from minillm.runs import PROVENANCE, SUMMARY
from minillm.runtime import start_accelerator
from minillm.training.checkpoint import DETAILS, checkpoint_details

log = logging.getLogger(__name__)

INSTRUCTION = "Name three primary colours."  # of the example prompt


def export_model(
    model: str,
    output: str,
    overrides: Sequence[str],
    *,
    dtype: str | None = None,
    license_name: str | None = None,
    repository: str | None = None,
) -> None:
    """Write a model with its card to a new folder, and upload it if a repository is named.

    Args:
        model: the folder of a run, the folder of a model, or a Hub name.
        output: the new folder.
        overrides: settings, such as `data.template=chat` for a model that no run has trained.
        dtype: of the weights; None for that of the saved weights.
        license_name: for the metadata of the card, such as `mit`.
        repository: the new repository of the Hub, which will be private.

    Raises:
        InputError: an input is wrong, or the Hub cannot be used. Then nothing is written.
        WriteError: the folder could not be written, or the upload has failed.
    """
    config, path, results = resolve(model, list(overrides))
    check_new_folder(Path(output), output)
    check_one_process("export")
    if repository:
        check_repository(repository)
    config = with_chat_template(config, path, overrides)
    exported = load_exported(config, dtype)
    details = checkpoint_details(path) or {}
    name = repository or Path(output).absolute().name
    card = make_card(config, path, results, exported, name, license_name)
    record = details | {"exported_from": model}
    save(exported, Path(output), record, {"README.md": card_text(card)})
    print_lines({
        "model": card.model,
        "base": card.metadata.get("base_model", "no model of the Hub"),
        "scores": ", ".join(f"{role} on {x.data}" for role, x in card.results) or "none",
        "written": f"{output} (read {output}/README.md before you publish it)",
    })  # fmt: skip
    if repository:
        print_lines({"uploaded": f"{push(repository, output)} (private)"})


def load_exported(config: Config, dtype: str | None) -> LanguageModel:
    """The model in the precision of the export. Its generation config names all its EOS tokens.

    Raises:
        InputError: it cannot be loaded, its weights are not finite, or `dtype` cannot hold them.
    """
    start_accelerator(config)
    source = replace(config.student, dtype="auto")
    model = completed(load_model(source, tokenizer_of(source)), config, None)
    check_finite(model)
    if dtype:
        model.module.to(getattr(torch, dtype))
        fault = fault_in_weights(model.module.named_parameters())
        if fault:
            raise InputError(
                f"--dtype {dtype} cannot hold the weights of {source.path}: {fault}. Give --dtype "
                f"bfloat16 or float32."
            )
    first, *others = model.eos_ids
    model.module.generation_config.eos_token_id = [first, *others] if others else first
    model.module.generation_config.pad_token_id = model.pad_id
    return model


def make_card(
    config: Config,
    path: Path,
    results: Path,
    model: LanguageModel,
    name: str,
    license_name: str | None,
) -> Card:
    """The card of a model.

    Args:
        config: the settings of the run that trained the model, or of the command.
        path: the folder or Hub name of the model.
        results: the folder of its results.
        model: as it is exported.
        name: of the folder or repository of the export.
        license_name: None if no licence is stated.
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
        metadata=metadata(config, path, steps, details, license_name),
        model=f"{model.description}, {model.parameters:,} parameters in {dtype}",
        usage=usage(config, model),
        evaluate=shlex.join(["minillm", "evaluate", str(run or path)]),
        origins=[in_words(step) for step in steps],
        method=method,
        settings={key: details["config"][key] for key in ("method", "training")}
        if method
        else None,
        teachers=["; ".join([x, *map(in_words, origins(x))]) for x in teachers],
        data=describe_data(config) if method else None,
        splits=read_splits(config) if method else (),
        results=scores,
        history=summary.get("history", ()),
        provenance=made,
    )


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
    config: Config,
    path: Path,
    steps: Sequence[Origin],
    details: dict[str, Any],
    license_name: str | None,
) -> dict[str, Any]:
    """What the card tells the Hub. Only names of the Hub are named."""
    base = steps[-1].name if steps else config.student.path
    values = {"tags": ["minillm"]}
    if "method" in details:
        values["tags"] += ["distillation", details["method"]]
        if config.data.kind == "hub" and is_hub_name(config.data.path):
            values["datasets"] = [config.data.path]
    elif "original" in details:
        values["tags"].append("pruning")
    if base and is_hub_name(base):
        values["base_model"] = base
    if license_name:
        values["license"] = license_name
    return values


def in_words(step: Origin) -> str:
    """A step of `origins`, in words."""
    revision = f" at revision {step.revision}" if step.revision else ""
    return f"{step.how}, from {step.name}{revision}" if step.name else step.how


def usage(config: Config, model: LanguageModel) -> Usage:
    """How prompts are made: the template of the settings, with an example."""
    record = Record(instruction=INSTRUCTION, references=("",), prompt=INSTRUCTION)
    template = config.data.template
    return Usage(
        template=template,
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
    return f"{data.name}: {data.kind}, {data.path}{revision}"


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


def check_repository(name: str) -> None:
    """Refuse a repository to which nothing can be uploaded, before anything is computed.

    Raises:
        InputError: the name is wrong, the Hub is not used or does not answer, nobody is logged in,
            or the repository exists.
    """
    advice = "Leave --push out, and upload the folder later with `hf upload`."
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise InputError(f"--push {name}: {first_line(error)}. Give OWNER/NAME.") from error
    if not hub.is_reachable():
        raise InputError(
            f"--push {name} needs the Hub, which is not used: HF_HUB_OFFLINE is set, or the Hub "
            f"cannot be reached. {advice}"
        )
    api = HfApi()
    try:
        api.whoami()
        exists = api.repo_exists(name)
    except (HfHubHTTPError, LocalTokenNotFoundError) as error:
        raise InputError(
            f"--push {name} needs a login: {first_line(error)}. Run `hf auth login` with a token "
            f"that may write. {advice}"
        ) from error
    if exists:
        raise InputError(
            f"--push {name}: this repository exists, and nothing is overwritten. Give a new name. "
            f"{advice}"
        )


def push(name: str, folder: str) -> str:
    """Upload a folder to a new private repository; return its address.

    Raises:
        WriteError: the upload has failed. The folder stays.
    """
    api = HfApi()
    try:
        address = api.create_repo(name, private=True)
        api.upload_folder(repo_id=name, folder_path=folder, ignore_patterns=[DETAILS],
                          commit_message="Exported by minillm")  # fmt: skip
    except (HfHubHTTPError, OSError) as error:
        raise WriteError(
            f"{folder} is complete, but the upload to {name} has failed: {first_line(error)}. "
            f"Upload it with `hf upload {name} {folder} --exclude {DETAILS}`."
        ) from error
    return str(address)
