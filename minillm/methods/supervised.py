"""Training on given sequences: credit for this token only. Shared by SFT, KD and SeqKD."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from minillm.data.batches import SequenceBatch
from minillm.methods.pairs import Pair, PairSource
from minillm.methods.setup import Setup
from minillm.models.forward import response_hidden, response_terms
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
        found = data_terms(self.setup, module, batch, with_teacher=self.kd_ratio > 0)
        cross_entropy = -found.log_probs.sum()
        metrics: Metrics = {"loss/cross_entropy": (cross_entropy.detach(), batch.tokens)}
        if found.forward_kl is None:
            return cross_entropy / tokens, metrics
        divergence = found.forward_kl.sum()
        metrics["loss/forward_kl"] = (divergence.detach(), batch.tokens)
        loss = (1 - self.kd_ratio) * cross_entropy + self.kd_ratio * divergence
        return loss / tokens, metrics


def data_terms(
    setup: Setup, module: nn.Module, batch: SequenceBatch, with_teacher: bool
) -> VocabularyTerms:
    """`log_probs` `[B, T]` of given responses, and their `forward_kl` to the teacher if asked."""
    terms, teacher = ("log_probs",), None
    if with_teacher:
        terms = ("log_probs", "forward_kl")
        with torch.no_grad(), setup.teacher.whole() as whole:
            hidden = response_hidden(whole.module, batch, whole)
        teacher = (hidden, output_head(setup.teacher))
    chunk_size = setup.config.training.chunk_size
    return response_terms(module, batch, setup.student, terms, teacher, chunk_size)
