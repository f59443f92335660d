"""Measures of importance beside plain computations on sequences without padding."""

import math

import pytest
import torch
from torch import Tensor

from minillm.data.batches import SequenceBatch
from minillm.models.language_model import LanguageModel
from minillm.models.layers import decoder_layers
from minillm.pruning.measure import angles, head_norms, unit_norms
from minillm.pruning.structure import heads_output, units_output
from tests.pruning.deep_models import HEADS, LAYERS, UNITS, deep

PAIRS = [([5, 6, 7], [9, 10, 2]), ([13], [15]), ([16, 17], [18, 2])]
BATCHES = [SequenceBatch.pad(PAIRS[:2], 1), SequenceBatch.pad(PAIRS[2:], 1)]
KINDS = pytest.mark.parametrize("kind", ["llama", "opt"])


def rows(states: Tensor) -> Tensor:
    """The states `[L, d]` of one sequence, from `[1, L, d]` or, within a layer of OPT, `[L, d]`."""
    return states.flatten(0, -2)


def inputs_of_modules(model: LanguageModel, modules: list) -> list[list[Tensor]]:
    """The inputs `[L, d]` of modules for each sequence alone, and last the output of the last."""
    collected: list[list[Tensor]] = []
    for prompt, response in PAIRS:
        seen: list[Tensor] = []
        hooks = [
            module.register_forward_pre_hook(
                lambda _, args, kwargs, seen=seen: seen.append(
                    rows(args[0] if args else kwargs["hidden_states"])
                ),
                with_kwargs=True,
            )
            for module in modules
        ]
        hooks.append(
            modules[-1].register_forward_hook(
                lambda _, __, output, seen=seen: seen.append(
                    rows(output[0] if isinstance(output, tuple) else output)
                )
            )
        )
        with torch.no_grad():
            model.module(input_ids=torch.tensor([prompt + response]))
        for hook in hooks:
            hook.remove()
        collected.append(seen)
    return collected


@KINDS
@pytest.mark.parametrize("span", [1, 3, 4])
def test_angles_between_inputs_and_outputs_of_adjacent_layers(kind, span):
    model = deep(kind)
    states = inputs_of_modules(model, [*decoder_layers(model.module)])
    expected = []
    for first in range(LAYERS - span + 1):
        values = [
            math.acos(min(1, float(x @ y / (x.norm() * y.norm())))) / math.pi
            for sequence in states
            for x, y in zip(sequence[first], sequence[first + span], strict=True)
        ]
        expected.append(sum(values) / len(values))
    measured = angles(model, BATCHES, span)
    torch.testing.assert_close(measured, torch.tensor(expected).double(), rtol=1e-5, atol=1e-6)


def norms(values: list[Tensor]) -> Tensor:
    """The L2 norm over sequences of the mean over tokens, of values `[L, N]`."""
    return torch.stack([x.double().mean(0) for x in values]).square().sum(0).sqrt()


@KINDS
def test_units_by_their_activations(kind):
    model = deep(kind)
    maps = [units_output(model.module, layer) for layer in decoder_layers(model.module)]
    inputs = inputs_of_modules(model, maps)
    measured = unit_norms(model, BATCHES)
    assert len(measured) == LAYERS
    for i in range(LAYERS):
        assert measured[i].shape == (UNITS,)
        expected = norms([sequence[i].abs() for sequence in inputs])
        torch.testing.assert_close(measured[i], expected, rtol=1e-5, atol=1e-6)


@KINDS
def test_heads_by_the_norms_of_their_outputs(kind):
    model = deep(kind)
    maps = [heads_output(model.module, layer) for layer in decoder_layers(model.module)]
    inputs = inputs_of_modules(model, maps)
    measured = head_norms(model, BATCHES)
    for i in range(LAYERS):
        values = [x[i].view(-1, HEADS, x[i].shape[1] // HEADS).norm(dim=-1) for x in inputs]
        torch.testing.assert_close(measured[i], norms(values), rtol=1e-5, atol=1e-6)
