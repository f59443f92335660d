"""Refuses a pruned model that does not compute what the original without the dropped parts does.

The original reads a tiny input while its dropped layers return their input, and its dropped hidden
units and heads are 0. A config that gives a layer another kind of attention, or a weight that was
cut in a wrong order, would show here.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from minillm.errors import first_line
from minillm.models.check import is_close, probe_ids
from minillm.models.heads import captured_hidden
from minillm.models.language_model import LanguageModel
from minillm.models.layers import decoder_layers
from minillm.pruning.cut import Kept, not_prunable
from minillm.pruning.measure import layer_input
from minillm.pruning.structure import HeadSizes, heads_output, inputs_of, units_output


@torch.no_grad()
def check_pruned(original: LanguageModel, pruned: LanguageModel, kept: Kept) -> None:
    """Compare the last hidden states of both models.

    Raises:
        InputError: they differ by more than rounding.
    """
    ids = probe_ids(original)
    with without_dropped_parts(original, kept):
        expected = last_hidden(original, ids)
    try:
        hidden = last_hidden(pruned, ids)
    except Exception as error:  # weights that do not fit together
        raise not_prunable(original.module, first_line(error)) from error
    if not is_close(original, hidden[0], expected[0], expected[0]):
        raise not_prunable(
            original.module,
            "the smaller model does not compute what the original does without the dropped parts",
        )


def last_hidden(model: LanguageModel, ids: Tensor) -> Tensor:
    """The inputs `[B, L, d]` of the output head for sequences `[B, L]` without padding."""
    with captured_hidden(model.module) as captured, model.precision():
        model.module(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    return captured[0]


@contextmanager
def without_dropped_parts(model: LanguageModel, kept: Kept) -> Iterator[None]:
    """Forward passes inside this context skip layers, and read 0 for units and heads, that drop."""
    module, layers = model.module, decoder_layers(model.module)
    with ExitStack() as hooks:
        for i, layer in enumerate(layers):
            if i not in kept.layers:
                hook = layer.register_forward_hook(_return_input, with_kwargs=True)
                hooks.callback(hook.remove)
        for number, i in enumerate(kept.layers):
            maps = []
            if kept.units:
                maps.append((units_output(module, layers[i]), kept.units[number], 1))
            if kept.heads:
                linear = heads_output(module, layers[i])
                maps.append((linear, kept.heads[number][0], HeadSizes.of(module).size))
            for linear, indices, size in maps:
                hook = linear.register_forward_pre_hook(_keeping(linear, indices, size))
                hooks.callback(hook.remove)
        yield


def _return_input(
    _: nn.Module, args: tuple, kwargs: dict, output: Tensor | tuple
) -> Tensor | tuple:
    hidden = layer_input(args, kwargs)
    return (hidden, *output[1:]) if isinstance(output, tuple) else hidden


def _keeping(linear: nn.Module, indices: Tensor, size: int):
    """A hook that replaces the inputs of a linear map by 0, except those of some parts.

    Args:
        linear: the linear map.
        indices: the parts.
        size: inputs per part.
    """
    stays = torch.zeros(inputs_of(linear) // size, dtype=linear.weight.dtype)
    stays[indices] = 1
    stays = stays.repeat_interleave(size).to(linear.weight.device)
    return lambda _, inputs: (inputs[0] * stays,)
