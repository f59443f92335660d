"""Models in Hugging Face format, such as `best` and `last` of a run.

A model with an adapter is saved as a merged model, with the adapter in its folder `adapter`; or the
folder is that of the adapter alone.

A model is written to a temporary folder, which is then renamed. The file `minillm.json` beside the
weights says how the model was made: with which method and seed, and for how many steps; or from
which model `minillm prune` has made it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minillm.errors import InputError
from minillm.files import read_json, write_json, write_text
from minillm.models.adapters import has_adapter, merged, save_adapter
from minillm.models.language_model import LanguageModel
from minillm.training.files import begin_folder, equalize_permissions, put_in_place, sync_folder

DETAILS = "minillm.json"
ADAPTER = "adapter"  # the folder of the adapter in the folder of a merged model


def save_checkpoint(
    model: LanguageModel,
    folder: Path,
    details: dict[str, Any],
    state_dict: dict | None = None,
    texts: Mapping[str, str] | None = None,
) -> None:
    """Write the model, its tokenizer and `details`. An older `folder` is replaced at the end.

    `texts` are further files by name.
    """
    aside = begin_folder(folder)
    if not has_adapter(model.module):
        model.module.save_pretrained(aside, state_dict=state_dict)
    elif model.saves_adapter_only:
        save_adapter(model.module, aside)
    else:
        merged(model.module).save_pretrained(aside)
        save_adapter(model.module, aside / ADAPTER)
    model.tokenizer.save_pretrained(aside)
    for name, text in (texts or {}).items():
        write_text(aside / name, text)
    write_json(aside / DETAILS, details)
    equalize_permissions(aside, aside / DETAILS)
    sync_folder(aside)
    put_in_place(folder)


def checkpoint_details(folder: Path) -> dict[str, Any] | None:
    """The content of `minillm.json`, or None for a model that `minillm` did not write.

    Raises:
        InputError: the file is damaged.
    """
    details = read_json(folder / DETAILS)
    if not isinstance(details, dict | None):
        raise InputError(
            f"{folder / DETAILS} is damaged: it holds no mapping. Restore this file, such as from "
            f"a copy."
        )
    return details
