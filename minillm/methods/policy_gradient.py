"""The loss of MiniLLM: exact single-step term plus policy gradient for the rest (eq. 7)."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from minillm.config import MiniLLMConfig
from minillm.devices import to_device
from minillm.methods.loss import by_length
from minillm.models.forward import response_loss
from minillm.objectives import diagnostics
from minillm.objectives.divergences import ReverseKL
from minillm.objectives.minillm import (
    Losses,
    Settings,
    advantages,
    importance_weights,
    losses,
    whitened,
    with_variant,
)
from minillm.objectives.terms import DivergenceTerm, TokenLogProb
from minillm.processes import highest, largest, total
from minillm.sampling.rollout import Rollout
from minillm.sources.source import TrainingBatch
from minillm.training.metrics import Metrics
from minillm.training.setup import Setup

log = logging.getLogger(__name__)

TERMS = {"log_probs": TokenLogProb(), "reverse_kl": DivergenceTerm(ReverseKL())}


# Means over the tokens of the first mini-batch of a collection, where the student is still the
# student that sampled: the ratio of new to old probabilities, and the absolute value of its
# logarithm. Without rounding they are 1 and 0.
FIRST_RATIO, FIRST_LOG_RATIO = "policy/first_ratio", "policy/first_log_ratio"
RATIO_TOLERANCE, LOG_RATIO_TOLERANCE = 1e-3, 0.05
# Rounding changes the mean ratio of few tokens by chance, by at most so many standard errors.
STANDARD_ERRORS = 4


def check_first_ratios(log_ratios: Tensor, mask: Tensor, tokens: int, mixed_precision: str) -> None:
    """Warn once if sampling and training give a token different probabilities.

    The mean ratio alone would hide errors of both signs.

    Args:
        log_ratios: of new to old probabilities before the first update, `[B, T]`.
        mask: of the response tokens, `[B, T]`.
        tokens: their number.
        mixed_precision: of the run.
    """
    errors = log_ratios.exp() - 1
    sums = torch.stack([(x * mask).sum() for x in (errors, errors.square(), log_ratios.abs())])
    error, square, log_ratio = (sums / tokens).tolist()
    chance = STANDARD_ERRORS * (max(square - error**2, 0) / tokens) ** 0.5
    if abs(error) > RATIO_TOLERANCE + chance or log_ratio > LOG_RATIO_TOLERANCE:
        warn_of_ratios(mixed_precision)


@cache
def warn_of_ratios(mixed_precision: str) -> None:
    """Say what the values must be, and what to do in this precision."""
    advice = "Please report the name of this model"
    if mixed_precision != "no":
        advice = (
            f"Rounding to {mixed_precision} is larger for a student that predicts badly: fine-tune "
            "it first, or use runtime.mixed_precision=no"
        )
    log.warning(
        "sampling and training compute different probabilities of the same tokens, so that the "
        "policy gradient is biased. In metrics.jsonl, %s must be within %g of 1 apart from chance, "
        "and %s must be at most %g. %s.",
        FIRST_RATIO, RATIO_TOLERANCE, FIRST_LOG_RATIO, LOG_RATIO_TOLERANCE, advice,
    )  # fmt: skip


def objective_settings(method: MiniLLMConfig) -> Settings:
    """The settings of the variant, with those that the user set in their place."""
    chosen = with_variant(vars(method))
    return Settings(**{field.name: chosen[field.name] for field in fields(Settings)})


@dataclass(frozen=True)
class PolicyBatch:
    """Responses of one forward pass, and the inputs of the loss of each token `[B, T]`."""

    batch: TrainingBatch
    old_log_probs: Tensor
    weights: Tensor
    advantages: Tensor


@dataclass(frozen=True)
class PolicyGradient:
    """Weights and advantages of a collection, then the clipped surrogate per forward pass."""

    setup: Setup
    settings: Settings

    shown: ClassVar[dict[str, str]] = {
        "policy/reverse_kl": "reverse KL",
        "rollout/length": "length",
    }

    def micro_batches(self, batch: TrainingBatch, size: int | None) -> list[PolicyBatch]:
        """The parts of a mini-batch, with the weights and advantages of their collection.

        This method computes both again for each mini-batch. The computation takes milliseconds, and
        checkpoints need not store the results.
        """
        collection, mask = batch.collection, batch.sequences.response_mask
        weights = importance_weights(
            collection.student_log_probs, collection.mixture_log_probs, self.settings
        )
        columns = collection.student_log_probs, weights, self._advantages(collection)
        index = to_device(batch.rows, mask.device)
        old_log_probs, weights, values = (x[index, : mask.shape[1]] for x in columns)
        values = values, mask
        if self.settings.whitening == "all":  # padding counts as much as in one whole batch
            values = self._as_long_as_the_longest(values)
        values = whitened(*values, settings=self.settings, reduce=total)
        parts = []
        for rows in by_length(batch, size):
            part = replace(batch, collection=None, rows=None).select(rows)
            length = part.sequences.response_ids.shape[1]
            index = to_device(rows, mask.device)
            given = (x[index, :length] for x in (old_log_probs, weights, values))
            parts.append(PolicyBatch(part, *given))
        return parts

    def _advantages(self, collection: Rollout) -> Tensor:
        """The returns `[B, T]` of a collection; T is the longest of all processes if need be."""
        values = (
            collection.student_log_probs,
            collection.teacher_log_probs,
            collection.mixture_log_probs,
            collection.mask,
        )
        reverse_kl = collection.reverse_kl
        if self.settings.compares_responses:
            *values, reverse_kl = self._as_long_as_the_longest([*values, reverse_kl])
        return advantages(
            *values,
            settings=self.settings,
            reverse_kl=reverse_kl,
            group_size=self.setup.config.method.responses_per_prompt,
            sum_rows=lambda rows: total(rows.sum(0)),
        )

    @staticmethod
    def _as_long_as_the_longest(values: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Tensors `[B, T]`, padded to the largest T of all processes."""
        length = values[0].shape[1]
        missing = highest(length, values[0].device) - length
        return [x if x is None else functional.pad(x, (0, missing)) for x in values]

    def tokens(self, part: PolicyBatch) -> int:
        return part.batch.sequences.tokens

    def __call__(self, module: nn.Module, part: PolicyBatch) -> tuple[Tensor, Metrics]:
        given = part.old_log_probs, part.weights, part.advantages

        def parts_of(terms: dict[str, Tensor], *given: Tensor) -> Losses:
            return losses(terms["log_probs"], terms["reverse_kl"], *given, settings=self.settings)

        # The teacher has read these tokens while they were sampled: no second pass.
        value, terms = response_loss(
            module,
            part.batch.sequences,
            self.setup.student,
            terms=TERMS,
            loss=lambda terms, *given: parts_of(terms, *given).total,
            given=given,
            targets=part.batch.targets,
            chunk_size=self.setup.config.training.chunk_size,
        )
        parts, mask = parts_of(terms, *given), part.batch.sequences.response_mask
        log_ratios = parts.log_probs - part.old_log_probs
        values = {
            "loss/long": parts.long,
            "loss/single_step": parts.single_step,
            "policy/reverse_kl": parts.reverse_kl,
            "policy/clip_share": parts.clipped,
            "policy/ratio": log_ratios.exp(),
        }
        if part.batch.is_first:
            values |= {FIRST_RATIO: log_ratios.exp(), FIRST_LOG_RATIO: log_ratios.abs()}
        count = part.batch.sequences.tokens
        metrics = {name: ((x * mask).sum(), count) for name, x in values.items()}
        if part.batch.is_first:
            precision = self.setup.config.runtime.mixed_precision
            check_first_ratios(log_ratios, mask, count, precision)
        return value, metrics

    def collection_metrics(self, collection: Rollout) -> Metrics:
        """How far the importance weights of all processes spread."""
        mask, tokens = collection.mask, collection.sequences.tokens
        weights = importance_weights(
            collection.student_log_probs, collection.mixture_log_probs, self.settings
        )
        return {
            "weights/mean": ((weights * mask).sum(), tokens),
            "weights/max": (largest(weights.where(mask.bool(), -torch.inf).max()), 1),
            "weights/min": (-largest(-weights.where(mask.bool(), torch.inf).min()), 1),
            "weights/effective_share": (
                diagnostics.effective_sample_share(weights, mask, total, largest),
                1,
            ),
        }

    def modules(self) -> dict[str, nn.Module]:
        return {}
