"""Checks that a model can be loaded, without reading its weights."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig
from transformers.utils import CONFIG_NAME

from minillm.adapter_paths import adapter_base
from minillm.compat import hub
from minillm.errors import InputError, first_line

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
ADVICE = "Give a folder in Hugging Face format (config.json and model.safetensors), or a Hub name."


def not_loadable(path: str, error: Exception, revision: str | None = None) -> InputError:
    """The error for a folder or Hub name from which no model could be loaded."""
    return InputError(
        f"no causal language model could be loaded from {path}: "
        f"{hub.absence(path, error, revision)}. {ADVICE}"
    )


def load_shape(path: str, revision: str | None = None) -> PretrainedConfig:
    """The transformers config of a folder or Hub name; of an adapter, the config of its base.

    Raises:
        InputError: there is no config.json, or its fields are wrong.
    """
    hub.prepare(path)
    base = adapter_base(path)
    if base is not None:
        path, revision = base, None
    try:
        shape = AutoConfig.from_pretrained(path, revision=revision or "main")
    except Exception as error:  # of many types; wrong fields raise errors of huggingface_hub
        raise not_loadable(path, error, revision) from error
    hub.note_model(path, revision, CONFIG_NAME)
    return shape


def weight_files(folder: Path) -> list[Path]:
    """The files with the weights of a folder, by name. transformers prefers safetensors.

    Raises:
        OSError: there are no such files.
    """
    for pattern in WEIGHTS:
        files = sorted(folder.glob(pattern))
        if files:
            return files
    raise OSError(f"the folder has no file {' or '.join(WEIGHTS)}")


def check_attention(shape: PretrainedConfig, implementation: str | None) -> None:
    """Refuse an attention implementation that the model cannot use here. No weights are made.

    Args:
        shape: the transformers config of the model.
        implementation: the value of `runtime.attn_implementation`.

    Raises:
        InputError: transformers does not know the implementation, or lacks a package, the model
            does not support it, or the device cannot compute it.
    """
    if implementation is None:
        return
    try:
        with torch.device("meta"):
            AutoModelForCausalLM.from_config(shape, attn_implementation=implementation)
    except Exception as error:  # of many types, as in loading
        raise InputError(
            f"runtime.attn_implementation={implementation} cannot be used for models of type "
            f"{shape.model_type!r}: {first_line(error)}. Set "
            f"runtime.attn_implementation=null (the choice of transformers), eager or sdpa."
        ) from error


def check_loadable(path: str, revision: str | None = None) -> None:
    """Refuse a folder or Hub name without a model. Of an adapter, its base is checked, too.

    Raises:
        InputError: there is no config.json, or a file with weights is missing or damaged.
    """
    base = adapter_base(path)
    if base is not None:
        check_loadable(base)
    load_shape(path, revision)
    if not Path(path).is_dir():
        return
    try:
        for file in weight_files(Path(path)):
            if file.suffix == ".safetensors":
                with safe_open(file, "pt"):  # reads the list of tensors
                    pass
    except (OSError, SafetensorError) as error:
        raise not_loadable(path, error) from error
