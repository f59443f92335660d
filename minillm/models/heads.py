"""Output heads: from last hidden states to logits, as the model itself does it.

What a teacher knew at a token is kept as its last hidden state, `[d]` numbers in place of `[V]`;
its distribution over the whole vocabulary is rebuilt from there whenever it is needed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from minillm.errors import InputError
from minillm.models.language_model import LanguageModel
from minillm.objectives.head import Head

# What models do to logits after the head, by the names they give it in their config or on
# themselves, and the value at which it does nothing.
AFTER_THE_HEAD = {"logit_scale": 1.0, "logits_scaling": 1.0, "final_logit_softcapping": None}


def output_head(model: LanguageModel) -> Head:
    """The head's parameters with the scaling and soft-capping that follow it; copies only where
    the model is elsewhere than what it is used with.
    """
    if model.head is not None:
        return model.head
    embeddings = model.module.get_output_embeddings()
    config = model.module.config.get_text_config()
    scale = getattr(config, "logit_scale", None) or 1.0  # Cohere multiplies
    scale /= getattr(config, "logits_scaling", None) or 1.0  # Granite divides
    softcap = getattr(config, "final_logit_softcapping", None)
    bias = getattr(embeddings, "bias", None)
    return Head(embeddings.weight, bias, model.vocab_size, scale, softcap)


@torch.no_grad()
def check_head(model: LanguageModel) -> None:
    """Refuse a model that does to its logits what `output_head` knows nothing of.

    Raises:
        InputError: the logits of one token are others than those of `output_head`.
    """
    ids = torch.tensor([[model.eos_ids[0]]], device=model.device)
    with captured_hidden(model.module) as captured:
        output = model.module(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    logits = output.logits[..., : model.vocab_size]
    rebuilt = output_head(model).logits(captured[0]).to(logits.dtype)
    if not torch.allclose(rebuilt, logits, rtol=1e-2, atol=1e-3, equal_nan=True):
        raise InputError(
            f"{type(model.module).__name__} changes its logits after the output head in a way that "
            f"is not known here (known: {', '.join(AFTER_THE_HEAD)}). Use another model, or add it "
            f"to minillm/models/heads.py."
        )


@contextmanager
def captured_hidden(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collects what goes into the output head of `module` in the passes made inside."""
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
    """Passes made inside return `function(hidden, head)` where they return logits elsewhere.

    The function runs as the head's own forward. So whatever wraps the model sees what it always
    sees: the head's parameters are used inside of the head, where ZeRO-3 and FSDP have gathered
    them, and the loss depends on them through its output, which tells them to gather again for
    backward. What the model does to logits afterwards is switched off; the `Head` does it.
    """
    module, described = model.module, output_head(model)
    embeddings, config = module.get_output_embeddings(), module.config.get_text_config()

    def forward(hidden: Tensor) -> Tensor:
        # Taken here, not before: sharded training puts the gathered tensors in place of its own.
        bias = getattr(embeddings, "bias", None)
        return function(hidden, replace(described, weight=embeddings.weight, bias=bias))

    with (
        _replaced(embeddings, {"forward": forward}),
        _replaced(module, _known_to(module)),
        _replaced(config, _known_to(config)),
    ):
        yield


def _known_to(owner: object) -> dict[str, Any]:
    return {name: neutral for name, neutral in AFTER_THE_HEAD.items() if name in vars(owner)}


@contextmanager
def _replaced(owner: object, values: dict[str, Any]) -> Iterator[None]:
    """Attributes of this very object, whatever its class has under those names."""
    before = {name: vars(owner)[name] for name in values if name in vars(owner)}
    vars(owner).update(values)
    try:
        yield
    finally:
        for name in values:
            del vars(owner)[name]
        vars(owner).update(before)
