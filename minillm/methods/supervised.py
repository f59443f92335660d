"""Training on given sequences: credit for this token only. Shared by SFT, KD and SeqKD."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from minillm.data.batches import SequenceBatch
from minillm.methods.pairs import Pair, PairSource
from minillm.methods.setup import Setup
from minillm.models.forward import response_hidden, response_loss
from minillm.models.heads import output_head
from minillm.objectives.chunked import VocabularyTerms
from minillm.training.method import Metrics, MicroBatch, StepBatch


class Supervised:
    """(1 - kd_ratio) * cross-entropy + kd_ratio * KL[p || q] over the given responses."""

    dropout = True
    state_is_shared = True

    def __init__(self, setup: Setup, pairs: list[Pair], kd_ratio: float = 0.0) -> None:
        self.setup = setup
        self.kd_ratio = kd_ratio
        self.epoch_size = len(pairs)
        training = setup.config.training
        self.source = PairSource(
            pairs,
            setup.student.pad_id,
            training.batch_size,
            training.micro_batch_size,
            setup.seed("pairs"),
            setup.rank,
            setup.world,
        )

    def batches(self) -> Iterator[StepBatch]:
        return iter(self.source)

    def state_dict(self) -> dict[str, Any]:
        return self.source.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.source.load_state_dict(state)

    def loss(
        self, module: nn.Module, micro_batch: MicroBatch, totals: dict[str, float]
    ) -> tuple[Tensor, Metrics]:
        batch = micro_batch.data.to(self.setup.device)
        tokens = totals["tokens"]
        value, found = data_loss(self.setup, module, batch, self.kd_ratio)
        metrics: Metrics = {"loss/cross_entropy": (-found.log_probs.sum(), batch.tokens)}
        if found.forward_kl is not None:
            metrics["loss/forward_kl"] = (found.forward_kl.sum(), batch.tokens)
        return value / tokens, metrics


def data_loss(
    setup: Setup, module: nn.Module, batch: SequenceBatch, kd_ratio: float
) -> tuple[Tensor, VocabularyTerms]:
    """The sum of the `token_losses` of given responses, and the terms `[B, T]` of it."""
    terms, teacher = ["log_probs"], None
    if kd_ratio > 0:
        terms.append("forward_kl")
        with torch.no_grad(), setup.teacher.whole() as whole:
            hidden = response_hidden(whole, batch)
        teacher = hidden, output_head(setup.teacher)
    return response_loss(
        module,
        batch,
        setup.student,
        terms,
        partial(token_losses, kd_ratio=kd_ratio),
        teacher=teacher,
        chunk_size=setup.config.training.chunk_size,
    )


def token_losses(terms: VocabularyTerms, kd_ratio: float) -> Tensor:
    """(1 - kd_ratio) * cross-entropy + kd_ratio * KL[p || q] of each token `[n]`."""
    if kd_ratio == 0:
        return -terms.log_probs
    return kd_ratio * terms.forward_kl - (1 - kd_ratio) * terms.log_probs
