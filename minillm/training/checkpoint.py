"""Models in Hugging Face format, written aside and renamed: `best` and `last` of a run.

Beside the weights lies `minillm.json`: which method trained them, for how long, with which seed.
"""

from pathlib import Path
from typing import Any

from minillm.files import read_json, write_json
from minillm.models.language_model import LanguageModel
from minillm.training.files import begin_folder, put_in_place, sync_folder

DETAILS = "minillm.json"


def save_checkpoint(
    model: LanguageModel, folder: Path, details: dict[str, Any], state_dict: dict | None = None
) -> None:
    """Write the model, its tokenizer and `details`; an older checkpoint there is replaced last."""
    aside = begin_folder(folder)
    model.module.save_pretrained(aside, state_dict=state_dict)
    model.tokenizer.save_pretrained(aside)
    write_json(aside / DETAILS, details)
    sync_folder(aside)
    put_in_place(folder)


def checkpoint_details(folder: Path) -> dict[str, Any] | None:
    """What `minillm.json` says, or None for a model that was not trained here."""
    return read_json(folder / DETAILS)
