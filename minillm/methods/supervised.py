"""Training on given sequences: credit for this token only. Shared by SFT, KD and SeqKD."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from minillm.methods.pairs import Pair, PairSource
from minillm.methods.setup import Setup
from minillm.models.forward import response_logits
from minillm.objectives.divergences import forward_kl, log_softmax, token_log_probs
from minillm.training.method import Metrics, MicroBatch, StepBatch


class Supervised:
    """(1 - kd_ratio) * cross-entropy + kd_ratio * KL[p || q] over the given responses."""

    dropout = True

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

    def loss(
        self, module: nn.Module, micro_batch: MicroBatch, totals: dict[str, float]
    ) -> tuple[Tensor, Metrics]:
        batch = micro_batch.data.to(self.setup.device)
        mask, tokens = batch.response_mask, totals["tokens"]
        log_q = log_softmax(response_logits(module, batch, self.setup.student))
        cross_entropy = -(token_log_probs(log_q, batch.response_ids) * mask).sum()
        metrics: Metrics = {"loss/cross_entropy": (cross_entropy.detach(), batch.tokens)}
        if not self.kd_ratio:
            return cross_entropy / tokens, metrics
        with torch.no_grad():
            teacher = self.setup.teacher
            log_p = log_softmax(response_logits(teacher.module, batch, teacher))
        divergence = (forward_kl(log_q, log_p) * mask).sum()
        metrics["loss/forward_kl"] = (divergence.detach(), batch.tokens)
        loss = (1 - self.kd_ratio) * cross_entropy + self.kd_ratio * divergence
        return loss / tokens, metrics
