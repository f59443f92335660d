"""Forward passes over left-padded prompts and right-padded responses, with correct position ids.

Position ids count only real tokens. Without explicit position ids, a model with absolute positions
(GPT-2) reads left-padded prompts at shifted positions.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from minillm.compat.masks import padding_known
from minillm.data.batches import SequenceBatch
from minillm.devices import to_device
from minillm.models.heads import head_replaced
from minillm.models.language_model import LanguageModel
from minillm.models.layers import StateLoss, captured_layers
from minillm.models.parts import takes_positions
from minillm.models.recomputation import recomputable_layers, recomputed_layers
from minillm.objectives.chunked import TokenLoss, Values, vocabulary_loss, vocabulary_terms
from minillm.objectives.head import Head
from minillm.objectives.targets import Targets
from minillm.objectives.terms import Terms


def position_ids(mask: Tensor) -> Tensor:
    """Positions `[B, L]` of the real tokens of a mask `[B, L]`, from 0; 0 on leading padding."""
    return (mask.cumsum(-1) - 1).clamp(min=0)


def response_hidden(model: LanguageModel, batch: SequenceBatch) -> Tensor:
    """Last hidden states `[B, T, d]` that predict each response token. No logits are computed."""
    return response_states(model, batch, ())[0]


def response_states(
    model: LanguageModel, batch: SequenceBatch, layers: Sequence[int]
) -> tuple[Tensor, dict[int, Tensor]]:
    """Last hidden states `[B, T, d]`, and the outputs `[B, T, d]` of some decoder layers.

    The tensors are on the device of the batch and predict the response tokens.

    Args:
        model: reads the batch.
        batch: prompts and responses.
        layers: numbers of decoder layers, see `captured_layers`.
    """
    device = batch.response_ids.device
    with captured_layers(model.module, layers) as states:
        hidden = _through_head(
            model.module, batch.to(model.device), model, lambda hidden, _: hidden
        )
    columns = slice(-batch.response_ids.shape[1] - 1, -1)
    return hidden[:, :-1].to(device), {i: x[:, columns].to(device) for i, x in states.items()}


@torch.no_grad()
def response_terms(
    model: LanguageModel, batch: SequenceBatch, *, terms: Terms, targets: Targets | None = None
) -> Values:
    """The terms `[B, T]` of each response token without gradient; 0 on padding.

    Nothing is computed for padding.

    Args:
        model: reads the batch.
        batch: prompts and responses.
        terms: the terms by name.
        targets: of the B * T tokens, row by row; needed if a term compares with a teacher.
    """
    real = RealTokens(batch)

    def compute(hidden: Tensor, head: Head) -> Tensor:
        values = vocabulary_terms(
            real.select(hidden[:, :-1]), head, real.ids, terms=terms,
            targets=targets and targets.select(real.tokens),
        )  # fmt: skip
        return real.scatter(values)

    return dict(zip(terms, _through_head(model.module, batch, model, compute), strict=True))


def response_loss(
    module: nn.Module,
    batch: SequenceBatch,
    model: LanguageModel,
    *,
    terms: Terms,
    loss: TokenLoss,
    given: Sequence[Tensor] = (),
    targets: Targets | None = None,
    state_loss: StateLoss | None = None,
    chunk_size: int | None = None,
) -> tuple[Tensor, Values]:
    """The sum of the losses of the response tokens, and the terms `[B, T]` without gradient.

    Divide the sum after this function, not inside `loss` (see `vocabulary_loss`).

    Args:
        module: the model as the training engine wraps it (DDP, FSDP2, DeepSpeed).
        batch: prompts and responses.
        model: the model without the wrapper, and its tokenizer.
        terms: the terms by name.
        loss: `loss(values, *given)` returns the losses `[n]` of n tokens.
        given: further inputs of `loss`, `[B, T]` each.
        targets: of the B * T tokens, row by row; needed if a term compares with a teacher.
        state_loss: a further loss per token, computed from the outputs of some decoder layers. Its
            values are returned under the name "states".
        chunk_size: tokens per chunk of logits; None for a number that suits the device.
    """
    real = RealTokens(batch)
    names = [*terms, *(["states"] if state_loss else [])]
    columns = slice(-batch.response_ids.shape[1] - 1, -1)

    def compute(hidden: Tensor, head: Head) -> Tensor:
        total, values = vocabulary_loss(
            real.select(hidden[:, :-1]), head, real.ids, terms=terms, loss=loss,
            given=[real.select(x) for x in given],
            targets=targets and targets.select(real.tokens), chunk_size=chunk_size,
        )  # fmt: skip
        if state_loss:
            # The head is the last module of the forward pass, so all outputs of layers exist.
            selected = {i: real.select(state[:, columns]) for i, state in states.items()}
            distances = state_loss(selected, real.tokens)
            total = total + distances.sum().to(total.dtype)
            values["states"] = distances.detach().to(total.dtype)
        # The result is one tensor, because the model returns it instead of the logits.
        return torch.cat([total[None], real.scatter(values).flatten()])

    recomputed = recomputable_layers(model.module) if model.recomputes_layers else ()
    with (
        captured_layers(model.module, state_loss.layers if state_loss else ()) as states,
        recomputed_layers(recomputed),
    ):
        output = _through_head(module, batch, model, compute)
    values = output[1:].detach().view(len(names), *batch.response_ids.shape)
    return output[0], dict(zip(names, values, strict=True))


class RealTokens:
    """The N response tokens of a batch that are not padding.

    Attributes:
        tokens: indices `[N]` of the tokens in the batch `[B * T]`.
        ids: token ids `[N]`.
    """

    def __init__(self, batch: SequenceBatch) -> None:
        self.shape = batch.response_ids.shape
        # Found in host memory, so that the host does not wait for the mask.
        is_real = torch.arange(self.shape[1]) < batch.response_lengths[:, None]
        tokens = is_real.flatten().nonzero()[:, 0]
        self.tokens = to_device(tokens, batch.response_ids.device)
        self.ids = self.select(batch.response_ids)

    def select(self, values: Tensor) -> Tensor:
        """The values `[N, ...]` of the real tokens, from values of all positions `[B, T, ...]`."""
        return values.flatten(0, 1).index_select(0, self.tokens)

    def scatter(self, values: Values) -> Tensor:
        """The values of K terms at all positions, `[K, B, T]`; 0 on padding."""
        columns = torch.stack([*values.values()])
        all_positions = columns.new_zeros(len(columns), self.shape.numel())
        return all_positions.index_copy(1, self.tokens, columns).unflatten(1, self.shape)


def _through_head(
    module: nn.Module,
    batch: SequenceBatch,
    model: LanguageModel,
    function: Callable[[Tensor, Head], Tensor],
) -> Tensor:
    """`function(hidden, head)` for hidden states `[B, T + 1, d]`, from the last prompt token on."""
    mask = torch.cat([batch.prompt_mask, batch.response_mask], dim=1)
    is_padded = bool((batch.prompt_lengths + batch.response_lengths < mask.shape[1]).any())
    positions = {"position_ids": position_ids(mask)} if takes_positions(model.module) else {}
    with head_replaced(model, function), model.precision(), padding_known(is_padded):
        return module(
            input_ids=torch.cat([batch.prompt_ids, batch.response_ids], dim=1),
            attention_mask=mask,
            logits_to_keep=batch.response_ids.shape[1] + 1,
            use_cache=False,
            **positions,
        ).logits
