"""Gradient checkpointing: backward computes the activations inside of decoder layers again.

A training step then stores the input of each layer, instead of all activations inside of the layer
(Chen et al., arXiv 1604.06174). Losses and gradients stay the same.

The function of transformers (`activation_checkpointing_enable`) is not used, because it works only
on modules in training mode. The policy gradient trains in evaluation mode, which has no dropout.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from minillm.errors import InputError
from minillm.models.language_model import LanguageModel
from minillm.models.parts import replaced


def recomputable_layers(module: nn.Module) -> list[nn.Module]:
    """The layers that transformers can compute again, such as all decoder layers.

    Raises:
        InputError: the model has no such layers.
    """
    layers = [part for part in module.modules() if isinstance(part, GradientCheckpointingLayer)]
    if not layers:
        raise InputError(
            f"runtime.gradient_checkpointing=true is not allowed for {type(module).__name__}: "
            f"transformers cannot compute the layers of this model again. Set "
            f"runtime.gradient_checkpointing=false, and lower training.micro_batch_size instead."
        )
    return layers


def recomputing(model: LanguageModel) -> LanguageModel:
    """The model with gradient checkpointing in training.

    Raises:
        InputError: the model has no layers that can be computed again.
    """
    recomputable_layers(model.module)
    return replace(model, recomputes_layers=True)


@contextmanager
def recomputed_layers(layers: Iterable[nn.Module]) -> Iterator[None]:
    """Forward passes inside this context store only the inputs of these layers.

    Backward may run after the context. It repeats the dropout of the forward pass. Hooks of the
    layers, which FSDP2 and `captured_layers` use, do not run again.
    """
    with ExitStack() as stack:
        for layer in layers:
            forward = partial(checkpoint, layer.forward, use_reentrant=False)
            stack.enter_context(replaced(layer, {"forward": forward}))
        yield
