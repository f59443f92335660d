"""How important layers, hidden units and attention heads are, from forward passes over text."""

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.nn import functional

from minillm.data.batches import SequenceBatch
from minillm.models.forward import response_hidden
from minillm.models.language_model import LanguageModel
from minillm.models.layers import captured_layers, decoder_layers
from minillm.pruning.structure import HeadSizes, heads_output, units_output


@torch.no_grad()
def angles(model: LanguageModel, batches: Sequence[SequenceBatch], span: int) -> Tensor:
    """By how much each `span` of adjacent layers turns the hidden states, `[L - span + 1]`, 0 to 1.

    arccos(cos(x_i, x_(i + span))) / pi, where x_i is the input of layer i: the angular distance of
    Gromov et al. (arXiv 2403.17887, section 3.2). They read the last token of each sequence; here
    the angle is averaged over all real tokens of prompts and responses, as in the block influence
    of Men et al. (arXiv 2403.03853).

    Args:
        model: has L layers.
        batches: prompts and responses.
        span: number of layers.
    """
    layers = decoder_layers(model.module)
    total, tokens = torch.zeros(len(layers) - span + 1, dtype=torch.float64), 0
    for batch in batches:
        mask = tokens_of(batch).to(model.device)
        states = _residual_stream(model, batch)
        pairs = zip(states[:-span], states[span:], strict=True)
        total += torch.stack([_angle(*pair)[mask].sum().cpu() for pair in pairs])
        tokens += int(mask.sum())
    return total / tokens


def _residual_stream(model: LanguageModel, batch: SequenceBatch) -> list[Tensor]:
    """The inputs of all layers and the output of the last layer, `[B, P + T, d]` each."""
    layers = decoder_layers(model.module)
    states: list[Tensor] = []

    def collect(_: nn.Module, args: tuple, kwargs: dict) -> None:
        states.append(layer_input(args, kwargs))

    hook = layers[0].register_forward_pre_hook(collect, with_kwargs=True)
    with captured_layers(model.module, range(1, len(layers) + 1)) as outputs:
        try:
            response_hidden(model, batch.to(model.device))
        finally:
            hook.remove()
    return [*states, *(outputs[i] for i in range(1, len(layers) + 1))]


def layer_input(args: tuple, kwargs: dict) -> Tensor:
    """The hidden states `[B, L, d]` among the arguments of a decoder layer."""
    return args[0] if args else kwargs["hidden_states"]


def tokens_of(batch: SequenceBatch) -> Tensor:
    """Which positions `[B, P + T]` of prompts and responses are real tokens."""
    return torch.cat([batch.prompt_mask, batch.response_mask], dim=1).bool()


def _angle(states: Tensor, later: Tensor) -> Tensor:
    """The angles `[B, L]` between hidden states `[B, L, d]`, as shares of pi."""
    cosine = functional.cosine_similarity(states.double(), later.double(), dim=-1)
    return cosine.clamp(-1, 1).arccos() / math.pi


def unit_norms(model: LanguageModel, batches: Sequence[SequenceBatch]) -> list[Tensor]:
    """The importance `[N]` of the hidden units of each layer.

    As F_neuron of Muralidharan et al. (arXiv 2407.14679, section 2.2), but after the activation
    function and the gate: the inputs of the last linear map.
    """
    maps = [units_output(model.module, layer) for layer in decoder_layers(model.module)]
    return _norms(model, batches, maps, Tensor.abs)


def head_norms(model: LanguageModel, batches: Sequence[SequenceBatch]) -> list[Tensor]:
    """The importance `[H]` of the query heads of each layer.

    F_head of Muralidharan et al. (arXiv 2407.14679, section 2.2): the L2 norm of a head's output.
    """
    heads = HeadSizes.of(model.module).heads
    maps = [heads_output(model.module, layer) for layer in decoder_layers(model.module)]
    return _norms(model, batches, maps, lambda x: x.unflatten(-1, (heads, -1)).norm(dim=-1))


@torch.no_grad()
def _norms(
    model: LanguageModel,
    batches: Sequence[SequenceBatch],
    maps: Sequence[nn.Module],
    size: Callable[[Tensor], Tensor],
) -> list[Tensor]:
    """The L2 norm over sequences of the mean over tokens of a size, `[N]` for each linear map.

    This aggregation is the best of those that Muralidharan et al. compare (table 11). They add the
    importances of all layers; here each layer has its own.

    Args:
        model: makes the forward passes.
        batches: prompts and responses.
        maps: the linear maps whose inputs are read.
        size: turns inputs `[B, L, d]` into sizes `[B, L, N]`.
    """
    squares = [0.0] * len(maps)

    def collector(i: int, mask: Tensor):
        def collect(_: nn.Module, inputs: tuple) -> None:
            activations = inputs[0].reshape(*mask.shape, -1)  # OPT joins the axes of the batch
            sizes = size(activations.float()).double().masked_fill(~mask[..., None], 0)
            means = sizes.sum(1) / mask.sum(1, keepdim=True)
            squares[i] = squares[i] + means.square().sum(0)

        return collect

    for batch in batches:
        mask = tokens_of(batch).to(model.device)
        with ExitStack() as hooks:
            for i, linear in enumerate(maps):
                hooks.callback(linear.register_forward_pre_hook(collector(i, mask)).remove)
            response_hidden(model, batch.to(model.device))
    return [total.sqrt().cpu() for total in squares]
