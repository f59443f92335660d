"""Checks that a model can be loaded, without reading its weights."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from transformers import AutoConfig

from minillm.errors import InputError, first_line

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


def check_loadable(path: str) -> None:
    """Refuse a folder or Hub name without a model.

    Raises:
        InputError: there is no config.json, or a file with weights is missing or damaged.
    """
    try:
        AutoConfig.from_pretrained(path)
        if Path(path).is_dir():
            files = [file for pattern in WEIGHTS for file in Path(path).glob(pattern)]
            if not files:
                raise OSError(f"the folder has no file {' or '.join(WEIGHTS)}")
            for file in files:
                if file.suffix == ".safetensors":
                    with safe_open(file, "pt"):  # reads the list of tensors
                        pass
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(
            f"no causal language model could be loaded from {path}: {first_line(error)}. Give a "
            f"folder in Hugging Face format (config.json and model.safetensors), or a Hub name."
        ) from error
