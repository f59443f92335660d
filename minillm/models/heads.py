"""Output heads: compute logits from last hidden states as the model does.

The teacher's distribution at a token is stored as the teacher's last hidden state: `[d]` numbers
instead of `[V]`. The head computes the distribution over the vocabulary again when it is needed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from minillm.models.language_model import LanguageModel
from minillm.models.parts import replaced, unwrapped
from minillm.objectives.head import Head

# Attributes by which models or their configs change the logits after the head, and the values that
# change nothing.
AFTER_THE_HEAD = {"logit_scale": 1.0, "logits_scaling": 1.0, "final_logit_softcapping": None}


def output_head(model: LanguageModel) -> Head:
    """The parameters of the head, and the scaling and soft-capping after the head.

    The parameters are copies only if the model is not on the student's device.
    """
    if model.head is not None:
        return model.head
    embeddings = model.module.get_output_embeddings()
    config = model.module.config.get_text_config()
    scale = getattr(config, "logit_scale", None) or 1.0  # Cohere multiplies
    scaling = getattr(config, "logits_scaling", None) or 1.0
    # HyperCLOVA X multiplies, Granite divides.
    scale = scale * scaling if config.model_type == "hyperclovax" else scale / scaling
    softcap = getattr(config, "final_logit_softcapping", None)
    bias = getattr(embeddings, "bias", None)
    return Head(embeddings.weight, bias, model.vocab_size, scale, softcap, model.autocast)


@contextmanager
def captured_hidden(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the inputs of the output head of `module` during the forward passes inside."""
    captured: list[Tensor] = []
    head = module.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, inputs: captured.append(inputs[0]))
    try:
        yield captured
    finally:
        hook.remove()


@contextmanager
def head_replaced(
    model: LanguageModel, function: Callable[[Tensor, Head], Tensor]
) -> Iterator[None]:
    """Forward passes inside this context return `function(hidden, head)` instead of logits.

    The function runs as the forward method of the head, so engines that wrap the model work as
    usual. The head's parameters are used inside the head, where ZeRO-3 and FSDP have gathered them.
    The loss depends on the parameters through the output of the head, so the engines gather them
    again for backward. The model's changes of the logits after the head are switched off, because
    `Head` makes these changes.
    """
    module, described_head = unwrapped(model.module), output_head(model)
    embeddings, config = module.get_output_embeddings(), module.config.get_text_config()

    def forward(hidden: Tensor) -> Tensor:
        # The parameters are read here, because sharded training replaces them by gathered tensors.
        bias = getattr(embeddings, "bias", None)
        return function(hidden, replace(described_head, weight=embeddings.weight, bias=bias))

    with (
        replaced(embeddings, {"forward": forward}),
        replaced(module, _neutral_values(module)),
        replaced(config, _neutral_values(config)),
    ):
        yield


def _neutral_values(owner: object) -> dict[str, Any]:
    """The values that switch off the changes of the logits for which `owner` has attributes."""
    return {name: neutral for name, neutral in AFTER_THE_HEAD.items() if name in vars(owner)}
