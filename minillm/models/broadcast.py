"""One process reads the weights of a model, and sends them to the others.

If every process read them, a machine with N processes would need memory for N copies at that time.
"""

import pickle
from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from accelerate import PartialState
from torch import Tensor

from minillm.errors import InputError, first_line
from minillm.models.language_model import LanguageModel
from minillm.models.parts import with_weights
from minillm.processes import failing_together, from_main, send_from_main


def make_on_main(make: Callable[[], LanguageModel], *, everywhere: bool = False) -> LanguageModel:
    """The model that `make` makes in host memory. Only the main process calls `make`.

    The other processes get the same model with arbitrary weights. Their weights need no memory,
    because an operating system gives memory to a tensor when values are written to it.
    `replicated` and `training/sharding.py` send the weights.

    With `everywhere`, every process calls `make`: 4-bit weights cannot be described without their
    values, and are small.

    Raises:
        InputError: `make` has failed. All processes raise the error.
    """
    if PartialState().num_processes == 1:
        return make()
    if everywhere:
        with failing_together(InputError):
            model = make()
        return model
    made = None

    def described() -> bytes:
        nonlocal made
        try:
            made = make()
            return description(made)
        except InputError:
            raise
        except Exception as error:  # of many types; the others would wait for this process
            raise InputError(
                f"a model could not be made for several processes: {type(error).__name__}: "
                f"{first_line(error)}"
            ) from error

    received = from_main(described)
    return made or without_values(received)


def description(model: LanguageModel) -> bytes:
    """Everything of a model but the values of its weights."""
    return pickle.dumps(replace(model, module=with_weights(model.module, lambda x: x.to("meta"))))


def without_values(description: bytes) -> LanguageModel:
    """The described model in host memory, with arbitrary weights."""
    model = pickle.loads(description)
    module = with_weights(model.module, lambda x: torch.empty_like(x, device="cpu"))
    return replace(model, module=module)


def replicated(model: LanguageModel, device: torch.device) -> LanguageModel:
    """The model on `device`, with the weights of the main process in every process."""
    model = model.to(device)
    if device.type != "meta":  # an outline of `minillm plan` has no values to send
        fill(model.module.parameters())
    return model


def fill(weights: Iterable[Tensor]) -> None:
    """Give these weights the values of the main process, on their devices."""
    for weight in weights:
        weight.data.copy_(send_from_main(weight.data))
