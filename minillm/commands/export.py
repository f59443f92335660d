"""`minillm export`: writes a model as a Hugging Face folder that is ready to be published.

OUTPUT/              weights, tokenizer and generation config
OUTPUT/README.md     the model card
OUTPUT/minillm.json  how the model was made, for `minillm evaluate OUTPUT`; `--push` leaves it out,
                     because it has paths of this machine (the card has none)
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from minillm.adapter_paths import adapter_base
from minillm.commands.card import make_card
from minillm.commands.dry_run import print_lines
from minillm.commands.loading import completed
from minillm.commands.model_folder import names_template, resolve, with_chat_template
from minillm.commands.prune import check_one_process, new_model_folder, save
from minillm.compat import hub
from minillm.config import Config
from minillm.data.tokenizers import tokenizer_of
from minillm.errors import InputError, WriteError, first_line
from minillm.models.adapters import has_adapter, merged
from minillm.models.finite import fault_in_weights
from minillm.models.language_model import LanguageModel, check_finite, load_model
from minillm.reporting.model_card import card_text
from minillm.runtime import start_accelerator
from minillm.training.checkpoint import DETAILS, checkpoint_details


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

    An adapter is merged into its base.

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
    folder = new_model_folder(output)
    check_one_process("export")
    if repository:
        check_repository(repository)
    config = with_chat_template(config, path, overrides)
    exported = load_exported(config, dtype)
    details = checkpoint_details(path) or {}
    name = repository or folder.name
    knows_template = config.data.template == "chat" or names_template(path, overrides)
    card = make_card(
        config, path, results, exported, name, license_name, knows_template=knows_template
    )
    record = details | {"exported_from": model}
    save(exported, folder, record, {"README.md": card_text(card)})
    print_lines({
        "model": card.model,
        "base": card.metadata.get("base_model", "no model of the Hub"),
        "scores": ", ".join(f"{role} on {x.data}" for role, x in card.results) or "none",
        "written": f"{output} (read {output}/README.md before you publish it)",
    })  # fmt: skip
    if repository:
        print_lines({"uploaded": f"{push(repository, output)} (private)"})


def load_exported(config: Config, dtype: str | None) -> LanguageModel:
    """The model in the precision of the export, with its adapter merged.

    Its generation config names all its EOS tokens.

    Raises:
        InputError: it cannot be loaded, its weights are not finite, or `dtype` cannot hold them.
    """
    start_accelerator(config)
    # The base of an adapter has the precision of the training (`with_precision_of_base`).
    is_adapter = adapter_base(config.student.path) is not None
    source = config.student if is_adapter else replace(config.student, dtype="auto")
    model = completed(load_model(source, tokenizer_of(source)), config, None)
    check_finite(model)
    if has_adapter(model.module):
        model = replace(model, module=merged(model.module))
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
    except hub.REQUEST_ERRORS as error:
        raise InputError(
            f"--push {name} is not possible: {first_line(error)}. Run `hf auth login` with a token "
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
    except hub.REQUEST_ERRORS as error:
        raise WriteError(
            f"{folder} is complete, but the upload to {name} has failed: {first_line(error)}. "
            f"Upload it with `hf upload {name} {folder} --exclude {DETAILS}`."
        ) from error
    return str(address)
