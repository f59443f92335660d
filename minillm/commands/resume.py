"""Whether and where a run goes on: `resume=auto` or `resume=CHECKPOINT`."""

import hashlib
import logging
from array import array
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import DistributedType, broadcast_object_list

from minillm.compose import read_config
from minillm.config import Config
from minillm.data.encoding import Example
from minillm.errors import InputError
from minillm.methods import Method
from minillm.processes import failing_together
from minillm.runs import CONFIG, PROVENANCE, SUMMARY
from minillm.settings import dotted, settings_of
from minillm.training.files import fault, read_manifest
from minillm.training.run_state import FORMAT, newest_whole, read_progress

log = logging.getLogger(__name__)

# Settings that may change as well if nothing in the training follows a schedule.
LENGTH = {"training.steps", "training.epochs"}
# Backends that keep whole weights on every process; the others cut them up by their number.
WHOLE = {DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU}


def check_resume(config: Config) -> None:
    """Refuse what can be seen to be wrong before anything is loaded.

    Raises:
        InputError: what is named is no checkpoint, or settings that would alter the run of the
            output folder have changed since it began.
    """
    if config.resume not in (None, "auto"):
        folder = Path(config.resume)
        if read_manifest(folder) is None:
            raise no_checkpoint(folder, "it has no manifest.json that can be read")
    if config.resume and (Path(config.output) / CONFIG).is_file():
        check_unchanged(read_config(Path(config.output) / CONFIG), config, Path(config.output))


def is_finished(config: Config) -> bool:
    """Whether the output folder holds this run, through to as many steps as are asked for."""
    output = Path(config.output)
    if not (output / SUMMARY).is_file():
        return False
    changed = differences(read_config(output / CONFIG), config)
    return not any(key in LENGTH for key, _, _ in changed)


def find_checkpoint(config: Config, accelerator: Accelerator) -> Path | None:
    """The checkpoint to go on from, the same for all processes; None: from the beginning.

    Raises:
        InputError: the named checkpoint is damaged or none, or the checkpoint was written by
            another version of this package.
    """
    if config.resume is None:
        return None
    folder = None
    with failing_together(InputError):
        if accelerator.is_main_process:
            folder = _choose(config)
            if folder is not None:
                check_format(folder)
    return broadcast_object_list([folder])[0]


def _choose(config: Config) -> Path | None:
    if config.resume != "auto":
        folder = Path(config.resume)
        reason = fault(folder)
        if reason:
            raise no_checkpoint(folder, reason)
        return folder
    folder = newest_whole(Path(config.output))
    if folder is None:
        log.info("resume=auto: there is no whole checkpoint in %s, the run starts at the "
                 "beginning.", config.output)  # fmt: skip
    return folder


def check_format(folder: Path) -> None:
    """Refuse a checkpoint that this version cannot read.

    Raises:
        InputError: naming both formats, and what to do.
    """
    saved = read_progress(folder).get("format", 1)
    if saved != FORMAT:
        raise InputError(
            f"{folder} was written by another version of minillm: the checkpoint has format "
            f"{saved}, and this version reads format {FORMAT}. Go on with the version that wrote "
            f"the checkpoint (git_revision in {PROVENANCE} of the run), or begin a new run with "
            f"this version in another output=FOLDER (or here with overwrite=true)."
        )


def no_checkpoint(folder: Path, reason: str) -> InputError:
    """The error of a named checkpoint that is none, or not whole."""
    return InputError(
        f"resume={folder} is no whole checkpoint: {reason}. Give auto, or the folder of one, such "
        f"as RUN/checkpoints/step-000100."
    )


def made_with(config: Config, data: Sequence[Example], accelerator: Accelerator) -> dict[str, Any]:
    """What must be the same for a run to go on, in the words of the checkpoint."""
    checksum = hashlib.sha256()
    for example in data:
        views = [example.teacher_prompt_ids] if example.teacher_prompt_ids else []
        for ids in (example.prompt_ids, *example.response_ids, *views):
            checksum.update(array("q", [len(ids), *ids]).tobytes())
    return {
        "settings": asdict(config),
        "training_data": checksum.hexdigest()[:16],
        "device": accelerator.device.type,
        "backend": accelerator.distributed_type.value,
    }


def check_checkpoint(
    folder: Path,
    now: dict[str, Any],
    method: Method,
    steps: int,
    config: Config,
    accelerator: Accelerator,
) -> None:
    """Refuse a checkpoint that cannot be taken up by this run.

    Raises:
        InputError: saying what differs, and what would be allowed.
    """
    progress, saved = read_progress(folder), read_manifest(folder)["processes"]
    check_unchanged(progress["settings"], config, folder)
    if progress["training_data"] != now["training_data"]:
        raise InputError(
            f"{folder} was made with other training data than data.path={config.data.path} now "
            f"gives. Bring the data back, or begin a new run in another output=FOLDER."
        )
    if progress["device"] != now["device"]:
        raise InputError(
            f"{folder} was made on {progress['device']}, this is {now['device']}: its random "
            f"states do not fit. Set runtime.device={progress['device']}."
        )
    if progress["step"] > steps:
        raise InputError(f"{folder} is past the {steps} steps that are asked for. Ask for more, or "
                         f"give resume=CHECKPOINT of an earlier step.")  # fmt: skip
    world = accelerator.num_processes
    backends = {DistributedType(progress["backend"]), accelerator.distributed_type}
    if len(backends) > 1 and not backends <= WHOLE:
        raise InputError(f"{folder} was written by {progress['backend']}, this is "
                         f"{now['backend']}: launch it as before.")  # fmt: skip
    if saved != world and not (backends <= WHOLE and method.state_is_shared):
        why = "each process has responses of its own"
        if not backends <= WHOLE:
            why = "each process has a part of the weights"
        raise InputError(
            f"{folder} was written by {saved} processes, these are {world}: for "
            f"method={config.method.name} under {now['backend']} the number must stay ({why}). "
            f"Launch {saved} processes."
        )


def check_unchanged(saved: dict[str, Any], config: Config, place: Path) -> None:
    """Refuse changed settings that would alter the run.

    Raises:
        InputError: listing them with their old and new values.
    """
    is_constant = config.training.schedule == "constant" and not config.method.follows_a_schedule
    free = LENGTH if is_constant else set()
    changed = [
        f"{key} (was {old}, now {new})"
        for key, old, new in differences(saved, config)
        if key not in free
    ]
    if changed:
        raise InputError(
            f"{place} was made with other settings: {'; '.join(changed)}. Go on with the old ones, "
            f"or begin a new run in another output=FOLDER (or here with overwrite=true)."
        )


def differences(saved: dict[str, Any], config: Config) -> list[tuple[str, Any, Any]]:
    """Changed settings that are not marked with `may_change`: name, old and new value.

    A setting that only one side has belongs to another version of the code. It is left out.
    """
    old, new = (_comparable(settings) for settings in (saved, asdict(config)))
    keys = [
        each.key
        for each in settings_of(config)
        if each.key in old and each.key in new and not each.rules.may_change
    ]
    return [(key, old[key], new[key]) for key in keys if old[key] != new[key]]


def _comparable(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings by dotted keys; tuples are lists, as they are in a saved file.

    The value of a setting may be a mapping, such as `method.parameters`: it is compared as a whole.
    """
    entries = dotted(settings)
    return {key: list(x) if isinstance(x, tuple) else x for key, x in entries.items()}
