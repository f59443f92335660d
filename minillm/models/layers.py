"""The decoder layers of stock models, and their outputs during a forward pass."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Protocol

from torch import Tensor, nn
from transformers import PreTrainedModel

from minillm.errors import InputError
from minillm.models.parts import unwrapped


def decoder_layers(module: PreTrainedModel) -> nn.ModuleList:
    """The list of decoder layers, from first to last.

    Raises:
        InputError: the model has no such list.
    """
    count = module.config.get_text_config().num_hidden_layers
    # A model of images and text has a second list of layers, which may be as long.
    for part in unwrapped(module).get_decoder().modules():
        if isinstance(part, nn.ModuleList) and len(part) == count:
            return part
    raise InputError(
        f"{type(module).__name__} has no list of {count} decoder layers, so its hidden states "
        f"cannot be matched. Use another model, or set method.layers=null."
    )


def layer_number(module: PreTrainedModel, layer: int, where: str = "") -> int:
    """The number of a decoder layer counted from 1; negative numbers count from the last, -1.

    Args:
        module: the model.
        layer: the number as it was given.
        where: begins the message of an error, such as `method.layers, student: `.

    Raises:
        InputError: the model has no such layer.
    """
    count = len(decoder_layers(module))
    number = layer if layer > 0 else count + 1 + layer
    if not 1 <= number <= count:
        raise InputError(
            f"{where}layer {layer} does not exist: {type(module).__name__} has the layers 1 to "
            f"{count} (or -{count} to -1). Give one of these."
        )
    return number


@contextmanager
def captured_layers(module: PreTrainedModel, layers: Sequence[int]) -> Iterator[dict[int, Tensor]]:
    """Collect the outputs `[B, L, d]` of decoder layers during the forward passes inside.

    The output of a layer is the residual stream after the layer, before the final norm.

    Args:
        module: the model.
        layers: numbers of layers, see `layer_number`. The numbers are the keys of the result.
    """
    outputs: dict[int, Tensor] = {}

    def collector(layer: int):
        def collect(_: nn.Module, __: tuple, output: Tensor | tuple) -> None:
            outputs[layer] = output[0] if isinstance(output, tuple) else output

        return collect

    with ExitStack() as hooks:
        for layer in layers:
            block = decoder_layers(module)[layer_number(module, layer) - 1]
            hooks.callback(block.register_forward_hook(collector(layer)).remove)
        yield outputs


class StateLoss(Protocol):
    """A loss per token of the student's inner hidden states."""

    layers: Sequence[int]

    def __call__(self, states: dict[int, Tensor], tokens: Tensor) -> Tensor:
        """The loss `[N]` with gradient.

        Args:
            states: outputs `[N, d]` of the decoder layers in `layers`.
            tokens: indices `[N]` of the tokens in the batch `[B * T]`.
        """
        ...
