"""Weights in 4 bits, as in QLoRA (Dettmers et al., arXiv 2305.14314), by bitsandbytes.

The weights of linear layers are stored as NF4 with double quantisation. Each layer dequantises its
weight for its product. Embeddings, norms and the output head keep their dtype.
"""

import logging
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D
from transformers.utils import is_bitsandbytes_available

from minillm.errors import InputError

# What transformers notes on a quantised model and its config.
NOTES = ("hf_quantizer", "is_quantized", "is_loaded_in_4bit", "quantization_method")


def loading_arguments() -> dict[str, Any]:
    """Arguments of `from_pretrained` that load a model in 4 bits into host memory.

    Raises:
        InputError: bitsandbytes is missing.
    """
    if not is_bitsandbytes_available():
        raise InputError(
            "load_in_4bit=true needs the package bitsandbytes. Install it: pip "
            "install -e '.[lora]'."
        )
    silence_bitsandbytes()
    quantization = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
    )
    return {"quantization_config": quantization, "device_map": {"": "cpu"}}


def silence_bitsandbytes() -> None:
    """Drop its warning that an optional package for CPUs is missing. PEFT imports it, too."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def prepare_layers(module: PreTrainedModel) -> None:
    """Make a model that was loaded in 4 bits one that training can move and change."""
    vars(module).pop("hf_device_map", None)  # the model is placed later, as every other model
    for _, layer in _quantized_layers(module):
        # On CPUs with bfloat16, passes without gradient would pack the weights into a format from
        # which neither a gradient nor a merged weight can be computed.
        layer.support_avx512bf16_for_cpu = False


def compute_in(module: nn.Module, dtype: torch.dtype) -> None:
    """Compute the products of 4-bit layers in `dtype`. Autocast does not change these layers."""
    for _, layer in _quantized_layers(module):
        layer.compute_dtype, layer.compute_type_is_set = dtype, True


def dequantize_layers(module: PreTrainedModel) -> PreTrainedModel:
    """Replace the 4-bit layers of a model by linear layers, in place; other models are not changed.

    The weights are those that the 4-bit layers compute with, so they are rounded to NF4.
    """
    layers = list(_quantized_layers(module))
    if not layers:
        return module
    from bitsandbytes.functional import dequantize_4bit

    for name, layer in layers:
        weight = dequantize_4bit(layer.weight.data, layer.weight.quant_state)
        with torch.device("meta"):
            if issubclass(layer.source_cls, Conv1D):  # GPT-2's weights are transposed
                linear, weight = Conv1D(*weight.shape), weight.T.contiguous()
            else:
                linear = nn.Linear(*weight.shape[::-1])
        linear.weight, linear.bias = nn.Parameter(weight, requires_grad=False), layer.bias
        module.set_submodule(name, linear)
    for owner in (module, module.config):
        for note in (*NOTES, "quantization_config"):
            vars(owner).pop(note, None)
    return module


def size_of(weight: Tensor) -> int:
    """Number of parameters in a weight. A byte of a 4-bit weight holds two parameters."""
    state = getattr(weight, "quant_state", None)
    return weight.numel() if state is None else state.shape.numel()


def _quantized_layers(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """The 4-bit layers, by name. bitsandbytes is not imported if there are none."""
    return (
        (name, part) for name, part in module.named_modules()
        if isinstance(part, nn.Linear) and hasattr(part, "quant_state")
    )  # fmt: skip
