"""Folders and Hub names that hold an adapter instead of a complete model."""

import json
from pathlib import Path

from transformers.utils.peft_utils import find_adapter_config_file

from minillm.compat import hub
from minillm.errors import InputError
from minillm.folders import names_a_folder

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
WEIGHT_FILES = (WEIGHTS, "adapter_model.bin")  # PEFT reads both
BASE = "base_model_name_or_path"


def adapter_base(path: str) -> str | None:
    """The model that the adapter of a folder or Hub name changes; None if `path` is no adapter.

    Raises:
        InputError: adapter_config.json names no model, or a folder that does not exist; or a folder
            has no weights of the adapter.
    """
    hub.prepare(path)
    file = find_adapter_config_file(path)
    if file is None:
        return None
    try:
        base = json.loads(Path(file).read_text(encoding="utf-8"))[BASE]
    except (OSError, ValueError, KeyError, TypeError):
        base = None
    if not base or (names_a_folder(base) and not Path(base).is_dir()):
        raise InputError(
            f"{path} is an adapter, and the model that the adapter changes was not found: {BASE} "
            f"in its {CONFIG} is {base!r}. Write the folder or Hub name of this model there."
        )
    if Path(path).is_dir() and not any((Path(path) / name).is_file() for name in WEIGHT_FILES):
        raise InputError(
            f"{Path(path) / WEIGHTS} is missing: the folder has only the settings of an adapter. "
            f"Restore this file, or give another folder."
        )
    return base
