"""Whether a run continues, and from which checkpoint: `resume=auto` or `resume=CHECKPOINT`."""

import hashlib
import logging
from array import array
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import DistributedType

from minillm.adapter_paths import adapter_base
from minillm.compose import read_config
from minillm.config import Config
from minillm.data.encoding import Example
from minillm.data.plain_text import PlainText
from minillm.errors import InputError
from minillm.methods import Method
from minillm.models.checksum import weights_checksum
from minillm.objectives.minillm import with_variant
from minillm.runs import CONFIG, PROVENANCE, SUMMARY
from minillm.runtime import trains_adapter
from minillm.settings.rules import dotted, settings_of
from minillm.training.files import fault, read_manifest
from minillm.training.run_state import FORMAT, newest_whole, read_progress

log = logging.getLogger(__name__)

# Settings that may also change, if nothing in the training follows a schedule.
LENGTH = {"training.steps", "training.epochs", "training.seconds"}
# Backends with whole weights on every process. The others shard weights by number of processes.
WHOLE = {DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU}


def check_resume(config: Config) -> None:
    """Refuse a wrong `resume` before anything is loaded.

    Raises:
        InputError: the named folder is not a checkpoint, or settings that alter the results differ
            from the settings of the run in the output folder.
    """
    if config.resume not in (None, "auto"):
        folder = Path(config.resume)
        if read_manifest(folder) is None:
            raise no_checkpoint(folder, "manifest.json is missing or cannot be read")
    if config.resume and (Path(config.output) / CONFIG).is_file():
        check_unchanged(read_config(Path(config.output) / CONFIG), config, Path(config.output))


def is_finished(config: Config) -> bool:
    """Whether the output folder holds this run, finished with the same length."""
    output = Path(config.output)
    if not (output / SUMMARY).is_file():
        return False
    changed = differences(read_config(output / CONFIG), config)
    return not any(key in LENGTH for key, _, _ in changed)


def find_checkpoint(config: Config) -> Path | None:
    """The checkpoint from which the run continues; None for a new run.

    Raises:
        InputError: the named folder is not a complete checkpoint, or another version of this
            package wrote the checkpoint.
    """
    if config.resume is None:
        return None
    if config.resume == "auto":
        folder = newest_whole(Path(config.output))
        if folder is None:
            log.info("resume=auto: there is no complete checkpoint in %s, so the run starts at the "
                     "beginning.", config.output)  # fmt: skip
            return None
    else:
        folder = Path(config.resume)
        reason = fault(folder)
        if reason:
            raise no_checkpoint(folder, reason)
    check_format(folder)
    return folder


def check_format(folder: Path) -> None:
    """Refuse a checkpoint that this version cannot read.

    Raises:
        InputError: the message names both formats and what to do.
    """
    saved = read_progress(folder).get("format", 1)
    if saved != FORMAT:
        raise InputError(
            f"{folder} was written by another version of minillm: the checkpoint has format "
            f"{saved}, and this version reads format {FORMAT}. Continue with the version that "
            f"wrote the checkpoint (git_revision in {PROVENANCE} of the run), or begin a new run "
            f"with this version in another output=FOLDER (or here with overwrite=true)."
        )


def no_checkpoint(folder: Path, reason: str) -> InputError:
    """The error for a folder that is not a complete checkpoint."""
    return InputError(
        f"resume={folder} is not a complete checkpoint: {reason}. Give resume=auto, or the folder "
        f"of a checkpoint, such as RUN/checkpoints/step-000100."
    )


def run_identity(
    config: Config,
    data: Sequence[Example],
    accelerator: Accelerator,
    plain_text: PlainText | None = None,
) -> dict[str, Any]:
    """What a checkpoint stores about its run, to be compared when the run continues."""
    checksum = hashlib.sha256()
    for example in data:
        views = [example.teacher_prompt_ids] if example.teacher_prompt_ids else []
        for ids in (example.prompt_ids, *example.response_ids, *views):
            checksum.update(array("q", [len(ids), *ids]).tobytes())
    return {
        "settings": asdict(config),
        "training_data": checksum.hexdigest()[:16],
        "plain_text": plain_text.checksum if plain_text else None,
        "base": base_checksum(config),
        "device": accelerator.device.type,
        "backend": accelerator.distributed_type.value,
    }


def base_checksum(config: Config) -> str | None:
    """A checksum of the frozen weights, which checkpoints do not contain; None without an adapter.

    Raises:
        InputError: the base model was not found.
    """
    if not trains_adapter(config):
        return None
    path = config.student.path
    return weights_checksum(adapter_base(path) or path)


def check_checkpoint(
    folder: Path,
    identity: dict[str, Any],
    *,
    method: Method,
    steps: int,
    config: Config,
    accelerator: Accelerator,
) -> None:
    """Refuse a checkpoint from which this run cannot continue.

    Args:
        folder: the checkpoint.
        identity: `run_identity` of this run.
        method: the method of this run.
        steps: optimiser steps of this run.
        config: the settings of this run.
        accelerator: the processes of this run.

    Raises:
        InputError: the message names the difference and what is allowed.
    """
    progress, saved = read_progress(folder), read_manifest(folder)["processes"]
    check_unchanged(progress["settings"], config, folder)
    if progress["training_data"] != identity["training_data"]:
        raise InputError(
            f"{folder} was made with other training data than data.path={config.data.path} has "
            f"now. Restore the data, or begin a new run in another output=FOLDER."
        )
    if progress["plain_text"] != identity["plain_text"]:
        raise InputError(
            f"{folder} was made with other text than data.plain_text={config.data.plain_text} has "
            f"now. Restore the text, or begin a new run in another output=FOLDER."
        )
    if progress.get("base") != identity["base"]:
        raise InputError(
            f"{folder} contains an adapter of other weights than student.path="
            f"{config.student.path} has now. Restore these weights, or begin a new run in another "
            f"output=FOLDER."
        )
    if progress["device"] != identity["device"]:
        raise InputError(
            f"{folder} was made on {progress['device']}, but this run is on {identity['device']}, "
            f"where the states of the random generators do not fit. Set "
            f"runtime.device={progress['device']}."
        )
    if progress["step"] > steps:
        raise InputError(f"{folder} is past the {steps} steps of this run. Set more steps, or give "
                         f"resume=CHECKPOINT of an earlier step.")  # fmt: skip
    world = accelerator.num_processes
    backends = {DistributedType(progress["backend"]), accelerator.distributed_type}
    if len(backends) > 1 and not backends <= WHOLE:
        raise InputError(f"{folder} was written by {progress['backend']}, but this run uses "
                         f"{identity['backend']}: launch it as before.")  # fmt: skip
    if saved != world and not (backends <= WHOLE and method.state_is_shared):
        reason = "each process has responses of its own"
        if not backends <= WHOLE:
            reason = "each process has a part of the weights"
        raise InputError(
            f"{folder} was written by {saved} processes, these are {world}: for "
            f"method={config.method.name} under {identity['backend']}, the number must stay the "
            f"same ({reason}). Launch {saved} processes."
        )


def check_unchanged(saved: dict[str, Any], config: Config, folder: Path) -> None:
    """Refuse changed settings that would alter the run in `folder`.

    Raises:
        InputError: the message lists these settings with their old and new values.
    """
    is_constant = config.training.schedule == "constant" and not config.method.follows_a_schedule
    allowed = LENGTH if is_constant else set()
    changed = [
        f"{key} (was {old}, now {new})"
        for key, old, new in differences(saved, config)
        if key not in allowed
    ]
    if changed:
        raise InputError(
            f"{folder} was made with other settings: {'; '.join(changed)}. Continue with the old "
            f"values, or begin a new run in another output=FOLDER (or here with overwrite=true)."
        )


def differences(saved: dict[str, Any], config: Config) -> list[tuple[str, Any, Any]]:
    """Changed settings that are not marked with `may_change`: name, old and new value.

    A setting that the saved run lacks, because its code was older, had the default value.
    """
    defaults = asdict(Config(method=type(config.method)()))
    old = _comparable(defaults) | _comparable(saved)
    new = _comparable(asdict(config))
    keys = [
        each.key for each in settings_of(config) if each.key in new and not each.rules.may_change
    ]
    return [(key, old[key], new[key]) for key in keys if old[key] != new[key]]


def _comparable(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings by dotted keys; tuples become lists, as in a saved file.

    Settings of MiniLLM that are null are those of the variant.
    A setting whose value is a mapping, such as `method.parameters`, is compared as a whole.
    """
    if "variant" in settings["method"]:
        settings = settings | {"method": with_variant(settings["method"])}
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dotted(settings).items()
    }
