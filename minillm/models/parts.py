"""The parts of a model that the forward passes use, also if a wrapper such as PEFT hides them."""

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


def unwrapped(module: nn.Module) -> nn.Module:
    """The model of transformers. PEFT wraps this model, and returns it by `get_base_model`."""
    get_base_model = getattr(module, "get_base_model", None)
    return get_base_model() if get_base_model else module


def model_body(module: nn.Module) -> nn.Module:
    """The part of a causal language model that returns the last hidden states."""
    model = unwrapped(module)
    # `base_model` is the whole model where it does not know the name of the body (Llama 4).
    return model.base_model if model.base_model is not model else model.model


def takes(module: nn.Module, argument: str) -> bool:
    """Whether the forward method of the model has this argument."""
    return argument in inspect.signature(type(unwrapped(module)).forward).parameters


def takes_positions(module: nn.Module) -> bool:
    """Whether the model takes position ids. Models that use the mask alone (ALiBi) do not."""
    return takes(module, "position_ids")


@contextmanager
def replaced(owner: object, values: dict[str, Any]) -> Iterator[None]:
    """Replace attributes of one object; attributes of its class are not changed."""
    original_values = {name: vars(owner)[name] for name in values if name in vars(owner)}
    vars(owner).update(values)
    try:
        yield
    finally:
        for name in values:
            del vars(owner)[name]
        vars(owner).update(original_values)


def with_weights(module: nn.Module, change: Callable[[Tensor], Tensor]) -> nn.Module:
    """A copy of the module with `change(weight)` instead of each weight. Tied weights stay tied."""
    changed = {
        id(x): nn.Parameter(change(x.detach()), requires_grad=x.requires_grad)
        for x in module.parameters()
    }
    return copy.deepcopy(module, changed)  # the second argument has the copies that exist already
