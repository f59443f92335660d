"""The loss of distillation on given sequences. Each token has its own loss:

    (1 - r) * cross-entropy + r * sum_k w_k D_k(p, q) + w * distance of hidden states

with r = `kd_ratio` and w = `layer_weight`. r = 0 without hidden states is SFT. r = 0.5 with the
forward KL is word-level KD (MiniLLM paper, appendix B.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from minillm.methods.layer_matching import LayerMatching
from minillm.methods.loss import by_length
from minillm.models.forward import response_loss
from minillm.objectives.terms import DivergenceTerm, TokenLogProb
from minillm.sampling.rollout import Rollout
from minillm.sources.source import TrainingBatch
from minillm.training.metrics import Metrics
from minillm.training.setup import Setup


@dataclass(frozen=True)
class TokenLoss:
    """Cross-entropy and divergences per token, computed in one pass over the student's logits.

    Attributes:
        setup: models, device and chunk size.
        cross_entropy: weight of the cross-entropy with the tokens of the sequence.
        divergences: pairs of a term and its weight, by the name of the metric.
        layers: matching of hidden states, or None.
        metric: name of the only metric, which is the whole loss; None for one metric per term.
    """

    setup: Setup
    cross_entropy: float = 1.0
    divergences: Mapping[str, tuple[DivergenceTerm, float]] = field(default_factory=dict)
    layers: LayerMatching | None = None
    metric: str | None = None

    shown: ClassVar[dict[str, str]] = {}

    @property
    def needs_teacher(self) -> bool:
        """Whether the loss reads scores of the teacher."""
        return bool(self.divergences) or self.layers is not None

    def micro_batches(self, batch: TrainingBatch, size: int | None) -> list[TrainingBatch]:
        return [batch.select(rows) for rows in by_length(batch, size)]

    def tokens(self, part: TrainingBatch) -> int:
        return part.sequences.tokens

    def __call__(self, module: nn.Module, part: TrainingBatch) -> tuple[Tensor, Metrics]:
        part = part.to(self.setup.device)
        targets, state_loss = part.targets, None
        if self.needs_teacher and (targets is None or self.layers):
            layers = self.layers.teacher_layers if self.layers else ()
            scores = self.setup.teacher.score(part.teacher_sequences, layers)
            targets = targets or scores.targets
            state_loss = self.layers and self.layers.against(scores.states)
        value, terms = response_loss(
            module,
            part.sequences,
            self.setup.student,
            terms={"cross_entropy": TokenLogProb()}
            | {name: term for name, (term, _) in self.divergences.items()},
            loss=self._token_losses,
            targets=targets,
            state_loss=state_loss,
            chunk_size=self.setup.config.training.chunk_size,
        )
        if self.metric:
            return value, {f"loss/{self.metric}": (value.detach(), part.sequences.tokens)}
        terms["cross_entropy"] = -terms["cross_entropy"]
        count = part.sequences.tokens
        return value, {f"loss/{name}": (x.sum(), count) for name, x in terms.items()}

    def _token_losses(self, values: dict[str, Tensor]) -> Tensor:
        """The losses `[n]` of n tokens, from the values of the terms."""
        parts = [weight * values[name] for name, (_, weight) in self.divergences.items()]
        if self.cross_entropy:
            parts.append(-self.cross_entropy * values["cross_entropy"])
        return sum(parts)

    def collection_metrics(self, collection: Rollout) -> Metrics:
        return {}

    def modules(self) -> dict[str, nn.Module]:
        return {"projections": self.layers.projections} if self.layers else {}
