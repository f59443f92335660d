"""MiniLLM: mixture samples, reverse KL, credit for the rest of the response (algorithm 1).

Repeat: collect responses from the mixture; go over them `inner_epochs` times in mini-batches, a
mini-batch an optimiser step; add the language-modelling loss L_PT on plain text where asked.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import partial

import torch
from accelerate.utils import reduce
from torch import Tensor, nn

from minillm.config import MiniLLMConfig
from minillm.data.batches import PromptBatch, SequenceBatch
from minillm.methods.pairs import shuffled
from minillm.methods.plain_text import PlainText
from minillm.methods.setup import Setup
from minillm.methods.supervised import data_terms
from minillm.models.forward import response_loss
from minillm.models.heads import output_head
from minillm.models.placement import at_work
from minillm.objectives import diagnostics, returns
from minillm.objectives.chunked import VocabularyTerms
from minillm.objectives.minillm import (
    VARIANTS,
    Losses,
    Settings,
    advantages,
    importance_weights,
    losses,
)
from minillm.sampling.rollout import Rollout
from minillm.sampling.sampler import Decoding, sample
from minillm.training.method import Metrics, MicroBatch, StepBatch


def objective_settings(method: MiniLLMConfig) -> Settings:
    """The variant's settings with those that the user set in their place."""
    variant = VARIANTS[method.variant]
    given = {field.name: getattr(method, field.name) for field in fields(Settings)}
    always = {"gamma", "clip_range", "single_step", "length_normalization"}
    chosen = {name: x for name, x in given.items() if x is not None or name in always}
    return replace(variant, **chosen)


@dataclass(frozen=True)
class PolicyBatch:
    """Responses of one forward pass with what the sampler and the returns say about each token."""

    sequences: SequenceBatch
    teacher_hidden: Tensor
    old_log_probs: Tensor
    weights: Tensor
    advantages: Tensor


class MiniLLM:
    """Collects rollouts from the student as it is, and turns each into inner-epoch batches."""

    dropout = False  # a ratio of two dropout masks is not q_new / q_old

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.method = setup.config.method
        self.training = setup.config.training
        self.settings = objective_settings(self.method)
        self.epoch_size = len(setup.train) * self.method.inner_epochs
        self.generator = setup.generator("sampling")
        self.shuffle = setup.generator("mini-batches")
        self.prompts = shuffled(
            len(setup.train),
            self.method.rollouts_per_collection,
            setup.seed("prompts"),
            setup.rank,
            setup.world,
        )
        self.decoding = Decoding(setup.config.data.max_response_length, self.method.temperature)
        self.plain_text = iter(PlainText(setup)) if self.method.lm_coef else None

    def batches(self) -> Iterator[StepBatch]:
        batch_size = self.training.batch_size // self.setup.world
        while True:
            rollout, metrics = self.collect()
            for _ in range(self.method.inner_epochs):
                order = torch.randperm(
                    len(rollout), generator=self.shuffle, device=self.setup.device
                )
                for rows in order.split(batch_size):
                    yield StepBatch(self._micro_batches(rollout.select(rows)), metrics)
                    metrics = {}

    def collect(self) -> tuple[Rollout, Metrics]:
        """Sample responses for the next prompts."""
        start = time.perf_counter()
        indices = next(self.prompts)
        prompts = [self.setup.train[i].prompt_ids for i in indices]
        with at_work(self.setup.teacher):
            rollout = sample(
                self.setup.student,
                PromptBatch.pad(prompts, self.setup.student.pad_id).to(self.setup.device),
                self.decoding,
                self.generator,
                self.setup.teacher,
                self.method.alpha,
                self.method.coin_group,
                self.method.sampling_batch_size,
            )
        metrics = collection_metrics(rollout, self.settings)
        metrics["rollout/seconds"] = (time.perf_counter() - start, 1)
        return rollout, metrics

    def _micro_batches(self, rollout: Rollout) -> list[MicroBatch]:
        """Weights and advantages of a whole mini-batch, then its cut into forward passes."""
        weights = importance_weights(
            rollout.student_log_probs, rollout.mixture_log_probs, self.settings
        )
        advantage = advantages(
            rollout.student_log_probs,
            rollout.teacher_log_probs,
            rollout.mixture_log_probs,
            rollout.mask,
            self.settings,
            partial(reduce, reduction="sum"),
        )
        # By length, so that micro-batches carry little padding; the step's sum is the same.
        order = rollout.mask.sum(-1).argsort()
        parts = []
        for rows in order.split(self.training.micro_batch_size or len(rollout)):
            sequences = rollout.sequences.select(rows)
            length = sequences.response_ids.shape[1]
            batch = PolicyBatch(
                sequences,
                rollout.teacher_hidden[rows, :length],
                rollout.student_log_probs[rows, :length],
                weights[rows, :length],
                advantage[rows, :length],
            )
            parts.append(MicroBatch(batch, {"tokens": sequences.tokens}))
        return parts + (next(self.plain_text) if self.plain_text else [])

    def loss(
        self, module: nn.Module, micro_batch: MicroBatch, totals: dict[str, float]
    ) -> tuple[Tensor, Metrics]:
        if isinstance(micro_batch.data, SequenceBatch):
            return self._plain_text_loss(module, micro_batch.data, totals["plain_tokens"])
        return self._policy_loss(module, micro_batch.data, totals["tokens"])

    def _policy_loss(
        self, module: nn.Module, batch: PolicyBatch, tokens: float
    ) -> tuple[Tensor, Metrics]:
        old_log_probs, weights, advantage = (
            x.flatten() for x in (batch.old_log_probs, batch.weights, batch.advantages)
        )

        def parts_of(terms: VocabularyTerms, places: Tensor | slice = slice(None)) -> Losses:
            return losses(
                terms.log_probs.flatten(), terms.reverse_kl.flatten(), old_log_probs[places],
                weights[places], advantage[places], self.settings,
            )  # fmt: skip

        # The teacher has read these tokens while they were sampled: no second pass.
        value, found = response_loss(
            module,
            batch.sequences,
            self.setup.student,
            ("log_probs", "reverse_kl"),
            lambda terms, places: parts_of(terms, places).total,
            (batch.teacher_hidden, output_head(self.setup.teacher)),
            self.training.chunk_size,
        )
        parts, mask = parts_of(found), batch.sequences.response_mask.flatten()
        count = batch.sequences.tokens
        metrics = {
            name: ((values * mask).sum(), count)
            for name, values in {
                "loss/long": parts.long,
                "loss/single_step": parts.single_step,
                "policy/reverse_kl": parts.reverse_kl,
                "policy/clip_share": parts.clipped,
                "policy/ratio": (parts.log_probs - old_log_probs).exp(),
            }.items()
        }
        return value / tokens, metrics

    def _plain_text_loss(
        self, module: nn.Module, batch: SequenceBatch, tokens: float
    ) -> tuple[Tensor, Metrics]:
        """L_PT: language modelling on plain text, against the teacher's distribution in part."""
        batch = batch.to(self.setup.device)
        ratio = self.method.lm_kd_ratio
        found = data_terms(self.setup, module, batch, with_teacher=ratio > 0)
        value = -(1 - ratio) * found.log_probs.sum()
        if found.forward_kl is not None:
            value = value + ratio * found.forward_kl.sum()
        metrics = {"loss/plain_text": (value.detach(), batch.tokens)}
        return self.method.lm_coef * value / tokens, metrics


def collection_metrics(rollout: Rollout, settings: Settings) -> Metrics:
    """What a collection tells about the policy and the weights."""
    mask, rows, tokens = rollout.mask, len(rollout), rollout.sequences.tokens
    lengths = mask.sum(-1)
    rewards = returns.rewards(rollout.teacher_log_probs, rollout.student_log_probs, mask)
    weights = importance_weights(rollout.student_log_probs, rollout.mixture_log_probs, settings)
    repetition = diagnostics.repetition(rollout.sequences.response_ids, mask)
    return {
        "rollout/length": (lengths.sum(), rows),
        "rollout/empty_share": ((lengths <= 1).sum(), rows),  # nothing but the EOS
        "rollout/unfinished_share": ((~rollout.finished).sum(), rows),
        "rollout/repetition": (repetition.sum(), rows),
        "rollout/reward": (rewards.sum(), tokens),
        "rollout/teacher_calls_per_token": (
            rollout.teacher_calls - rollout.teacher_prompt_calls,
            rollout.steps,
        ),
        "weights/mean": ((weights * mask).sum(), tokens),
        "weights/max": (weights[mask.bool()].max(), 1),
        "weights/min": (weights[mask.bool()].min(), 1),
        "weights/effective_share": (diagnostics.effective_sample_share(weights, mask), 1),
    }
