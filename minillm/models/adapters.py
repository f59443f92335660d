"""LoRA: small trained matrices beside frozen weights (Hu et al., arXiv 2106.09685).

A layer with the weight W computes W x + s B A x, with A and B of rank r. B is 0 at first, so the
model begins as its base. Layers of PEFT take the places of the linear layers inside of the model.
The model keeps its class, so forward passes, sampling and engines need no case for adapters.
"""

import copy
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from minillm.adapter_paths import CONFIG, WEIGHTS
from minillm.config import LoraConfig
from minillm.errors import InputError, first_line
from minillm.models.initial_weights import seeded
from minillm.models.parts import with_weights
from minillm.models.quantization import dequantize_layers, silence_bitsandbytes

ADAPTER = "default"  # PEFT's name of the only adapter of a model
PREFIX = "base_model.model."  # of the names of weights in PEFT's files
MERGE = "Merge the adapter with PEFT (merge_and_unload), and give the folder of the merged model."


def has_adapter(module: nn.Module) -> bool:
    """Whether the model has an adapter."""
    return hasattr(module, "peft_config")


def add_adapter(module: PreTrainedModel, settings: LoraConfig, seed: int) -> None:
    """Add a new adapter to a model, in place, and freeze all other weights.

    Args:
        module: the base model; may be on the meta device.
        settings: rank, scale, dropout and layers.
        seed: of the random matrices A.

    Raises:
        InputError: PEFT is missing, a name of `target_modules` fits no layer, or the layer cannot
            have an adapter.
    """
    peft = _peft()
    names = settings.target_modules
    parts = [name for name, _ in module.named_modules()]
    for name in names or ():
        if not any(f".{part}".endswith(f".{name}") for part in parts):
            layers = sorted({part.rpartition(".")[2] for part, _ in _linear_layers(module)})
            raise InputError(
                f"student.lora.target_modules={names} is not allowed: no layer of "
                f"{type(module).__name__} is named {name}. Its linear layers are "
                f"{', '.join(layers)}. Give some of them, or null for all of them but the head."
            )
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha or 2 * settings.rank,
        lora_dropout=settings.dropout,
        target_modules=names or "all-linear",
        task_type="CAUSAL_LM",
        base_model_name_or_path=_found_anywhere(module.name_or_path),
    )
    with seeded(seed):
        _inject(module, config, f"student.lora.target_modules={names}")


def load_adapter(module: PreTrainedModel, path: str) -> None:
    """Add the adapter of a folder or Hub name to its base model, in place.

    The adapter can be trained, and all other weights are frozen.

    Raises:
        InputError: PEFT is missing, the adapter is not a LoRA of linear layers, or its weights do
            not fit.
    """
    peft = _peft()
    try:
        config = peft.PeftConfig.from_pretrained(path)
        saved = peft.load_peft_weights(path, device="cpu")
    except Exception as error:  # of many types, as for models
        raise InputError(f"no adapter could be loaded from {path}: {first_line(error)}.") from error
    if config.peft_type != peft.PeftType.LORA or config.bias != "none" or config.modules_to_save:
        raise InputError(
            f"{path} is not an adapter that can be used: only LoRA adapters (peft_type LORA) "
            f"without bias and modules_to_save are supported. {MERGE}"
        )
    config.inference_mode = False
    config.base_model_name_or_path = _found_anywhere(module.name_or_path)
    _inject(module, config, path)
    weights = _weights_by_saved_name(module)
    shapes = ({name: x.shape for name, x in each.items()} for each in (saved, weights))
    different = {name for name, _ in set.symmetric_difference(*(set(x.items()) for x in shapes))}
    if different:
        raise InputError(
            f"the adapter {path} does not fit the model {module.name_or_path}: {len(different)} "
            f"weights are missing, unknown or of another shape, such as {min(different)}. Give an "
            f"adapter of this model."
        )
    for name, weight in weights.items():
        weight.data.copy_(saved[name])


def save_adapter(module: PreTrainedModel, folder: Path) -> None:
    """Write the adapter in the format of PEFT: adapter_config.json and the weights A and B."""
    folder.mkdir(parents=True, exist_ok=True)
    config = module.peft_config[ADAPTER].to_dict() | {"inference_mode": True}
    text = json.dumps(config, indent=2, sort_keys=True, default=sorted)  # sets of names
    (folder / CONFIG).write_text(f"{text}\n", encoding="utf-8")
    weights = _weights_by_saved_name(module)
    weights = {name: weight.detach().cpu().contiguous() for name, weight in weights.items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def without_adapter(module: PreTrainedModel) -> PreTrainedModel:
    """The base model. It shares the frozen weights of `module`, and uses no further memory.

    Layers and buffers are copies, so modes and hooks of one model do not affect the other.
    """
    copies: dict[int, Any] = {id(weight): weight for weight in module.parameters()}
    for _, layer in _adapted_layers(module):
        copies[id(layer)] = copy.deepcopy(layer.base_layer, copies)
    base = copy.deepcopy(module, copies)  # the second argument has the copies that exist already
    del base.peft_config
    return base


@torch.no_grad()
def merged(module: PreTrainedModel) -> PreTrainedModel:
    """A plain model with the weights W + s B A. 4-bit weights W are dequantised.

    Weights without an adapter are shared with `module`, unless their dtype is smaller than that of
    the adapter. All weights get the larger dtype, because W in half precision would lose most of a
    small sum s B A to rounding.
    """
    plain = dequantize_layers(without_adapter(module))
    dtype = torch.float32
    for name, layer in _adapted_layers(module):
        base, change = plain.get_submodule(name), layer.get_delta_weight(ADAPTER)
        if isinstance(base, Conv1D) and not layer.fan_in_fan_out:  # the 4-bit layer is no Conv1D
            change = change.T
        base.weight = nn.Parameter(base.weight + change, requires_grad=False)
        dtype = base.weight.dtype
    if all(weight.dtype == dtype for weight in plain.parameters()):
        return plain
    return with_weights(plain, lambda weight: weight.to(dtype))


def _inject(module: PreTrainedModel, config: Any, origin: str) -> None:
    """Put PEFT's layers into a model, with weights A and B of at least float32.

    Raises:
        InputError: PEFT cannot change a layer, or the loss would not read the changed layer.
    """
    peft = _peft()
    try:
        with warnings.catch_warnings():
            # PEFT sees by itself that the weights of GPT-2 are transposed.
            warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False")
            peft.inject_adapter_in_model(config, module, ADAPTER)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise InputError(f"{origin}: the adapter was refused: {first_line(error)}.") from error
    outside = {id(module.get_output_embeddings()), id(module.get_input_embeddings())}
    for name, layer in _adapted_layers(module):
        if id(layer) in outside or not hasattr(layer, "get_delta_weight"):
            raise InputError(
                f"{origin}: {name} is an embedding or the output head, which cannot have an "
                f"adapter, because losses read the weights of the head, and the two may be tied. "
                f"Leave this layer out."
            )
        if layer.lora_variant or layer.lora_bias[ADAPTER]:
            raise InputError(
                f"{origin}: {name} has a variant of LoRA, such as DoRA or a bias, which is not "
                f"supported. {MERGE}"
            )
    for weight in _weights_by_saved_name(module).values():
        if weight.dtype.itemsize < 4:
            weight.data = weight.data.float()  # small updates would be lost to rounding
    module.eval()  # new layers are in training mode


def _adapted_layers(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """The layers with an adapter, by name."""
    from peft.tuners.lora import LoraLayer

    return ((name, x) for name, x in module.named_modules() if isinstance(x, LoraLayer))


def _linear_layers(module: PreTrainedModel) -> Iterator[tuple[str, nn.Module]]:
    """The layers with a matrix and an output size, except embeddings and the output head."""
    head = module.get_output_embeddings()
    for name, part in module.named_modules():
        has_matrix = getattr(getattr(part, "weight", None), "dim", int)() == 2
        if has_matrix and part is not head and not isinstance(part, nn.Embedding):
            yield name, part


def _weights_by_saved_name(module: nn.Module) -> dict[str, Tensor]:
    """The weights A and B by their names in the files of PEFT."""
    return {
        PREFIX + name.replace(f".{ADAPTER}.", "."): weight
        for name, weight in module.named_parameters() if ".lora_" in name
    }  # fmt: skip


def _found_anywhere(path: str) -> str:
    """The path of a folder, absolute, so that an adapter finds its base from every folder."""
    return str(Path(path).resolve()) if Path(path).is_dir() else path


def _peft() -> Any:
    """The package PEFT, which is imported here because its import takes seconds."""
    silence_bitsandbytes()
    try:
        import peft
    except ImportError as error:
        raise InputError(
            f"adapters need the package peft, which cannot be imported: {first_line(error)}. "
            f"Install it: pip install -e '.[lora]'."
        ) from error
    return peft
