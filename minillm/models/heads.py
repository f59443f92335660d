"""Output heads: from last hidden states to logits, as the model itself does it.

What a teacher knew at a token is kept as its last hidden state, `[d]` numbers in place of `[V]`;
its distribution over the whole vocabulary is rebuilt from there whenever it is needed.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from minillm.models.language_model import LanguageModel


def output_logits(model: LanguageModel, hidden: Tensor) -> Tensor:
    """Logits `[..., V]` of last hidden states `[..., d]`, padding vocabulary cut.

    Scaling (Cohere, Granite) and soft-capping (Gemma) follow the head where a model has them.
    """
    logits = model.module.get_output_embeddings()(hidden)[..., : model.vocab_size]
    config = model.module.config.get_text_config()
    if getattr(config, "logit_scale", None):
        logits = logits * config.logit_scale
    if getattr(config, "logits_scaling", None):
        logits = logits / config.logits_scaling
    cap = getattr(config, "final_logit_softcapping", None)
    return cap * torch.tanh(logits / cap) if cap else logits


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
