"""MiniLLM: mixture samples, reverse KL, credit for the rest of the response (algorithm 1).

Repeat: collect responses from the mixture; go over them `inner_epochs` times in mini-batches, a
mini-batch an optimiser step; add the language-modelling loss L_PT on plain text where asked.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from minillm.config import MiniLLMConfig
from minillm.data.batches import PromptBatch, SequenceBatch
from minillm.methods.pairs import Shuffled
from minillm.methods.plain_text import PlainText
from minillm.methods.setup import Setup
from minillm.methods.supervised import data_loss
from minillm.models.forward import response_loss
from minillm.models.heads import output_head
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
from minillm.processes import failing_together, largest, longest, total
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
    state_is_shared = False  # each process has rollouts of its own

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.method = setup.config.method
        self.training = setup.config.training
        self.settings = objective_settings(self.method)
        self.epoch_size = len(setup.train) * self.method.inner_epochs
        self.generator = setup.generator("sampling")
        self.shuffle = setup.generator("mini-batches")
        self.prompts = Shuffled(
            len(setup.train),
            self.method.rollouts_per_collection,
            setup.seed("prompts"),
            setup.rank,
            setup.world,
        )
        self.decoding = Decoding(setup.config.data.max_response_length, self.method.temperature)
        plain_text = PlainText(setup) if self.method.lm_coef else None
        self.plain_text = iter(plain_text) if plain_text else None
        self.rollout: Rollout | None = None  # of the last collection
        self.mini_batches: list[Tensor] = []  # rows of each that is still to come, all epochs
        self.sources = {"prompts": self.prompts}
        if plain_text:
            self.sources["plain_text"] = plain_text.source

    def batches(self) -> Iterator[StepBatch]:
        while True:
            metrics: Metrics = {}
            if not self.mini_batches:
                self.rollout, metrics = self.collect()
                self.mini_batches = self._mini_batches()
            rows = self.mini_batches.pop(0)
            yield StepBatch(self._micro_batches(self.rollout.select(rows)), metrics)

    def _mini_batches(self) -> list[Tensor]:
        """Rows of every mini-batch, each inner epoch in an order of its own."""
        size, device = self.training.batch_size // self.setup.world, self.setup.device
        count = len(self.rollout)
        orders = [
            torch.randperm(count, generator=self.shuffle, device=device)
            for _ in range(self.method.inner_epochs)
        ]
        return [rows for order in orders for rows in order.split(size)]

    def state_dict(self) -> dict[str, Any]:
        """The place in a collection with its rollouts, in the sources, and all chance."""
        return {
            "rollout": self.rollout.state_dict() if self.mini_batches else None,
            "mini_batches": [rows.clone() for rows in self.mini_batches],  # not views of an order
            "sampling": self.generator.get_state(),
            "shuffle": self.shuffle.get_state(),
            **{name: source.state_dict() for name, source in self.sources.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        device = self.setup.device
        if state["rollout"]:
            self.rollout = Rollout.from_state_dict(state["rollout"], device)
        self.mini_batches = [rows.to(device) for rows in state["mini_batches"]]
        self.generator.set_state(state["sampling"])
        self.shuffle.set_state(state["shuffle"])
        for name, source in self.sources.items():
            source.load_state_dict(state[name])

    def collect(self) -> tuple[Rollout, Metrics]:
        """Sample responses for the next prompts."""
        start = time.perf_counter()
        indices = next(self.prompts)
        prompts = [self.setup.train[i].prompt_ids for i in indices]
        with (
            self.setup.student.whole() as student,
            self.setup.teacher.whole() as teacher,
            failing_together(FloatingPointError),
        ):
            rollout = sample(
                student,
                PromptBatch.pad(prompts, student.pad_id).to(self.setup.device),
                self.decoding,
                self.generator,
                teacher,
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
        advantage = self._advantages(rollout)
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

    def _advantages(self, rollout: Rollout) -> Tensor:
        """The returns of a mini-batch, `[B, T]`; T is the longest of all processes if need be."""
        values = (
            rollout.student_log_probs,
            rollout.teacher_log_probs,
            rollout.mixture_log_probs,
            rollout.mask,
        )
        if self.settings.whitening == "all":  # padding counts: as much as in one whole batch
            missing = longest(rollout.mask.shape[1], rollout.mask.device) - rollout.mask.shape[1]
            values = [functional.pad(x, (0, missing)) for x in values]
        return advantages(*values, self.settings, total)

    def loss(
        self, module: nn.Module, micro_batch: MicroBatch, totals: dict[str, float]
    ) -> tuple[Tensor, Metrics]:
        if isinstance(micro_batch.data, SequenceBatch):
            return self._plain_text_loss(module, micro_batch.data, totals["plain_tokens"])
        return self._policy_loss(module, micro_batch.data, totals["tokens"])

    def _policy_loss(
        self, module: nn.Module, batch: PolicyBatch, tokens: float
    ) -> tuple[Tensor, Metrics]:
        given = batch.old_log_probs, batch.weights, batch.advantages

        def parts_of(terms: VocabularyTerms, *given: Tensor) -> Losses:
            return losses(terms.log_probs, terms.reverse_kl, *given, self.settings)

        # The teacher has read these tokens while they were sampled: no second pass.
        value, found = response_loss(
            module,
            batch.sequences,
            self.setup.student,
            ("log_probs", "reverse_kl"),
            lambda terms, *given: parts_of(terms, *given).total,
            given,
            (batch.teacher_hidden, output_head(self.setup.teacher)),
            self.training.chunk_size,
        )
        parts, mask = parts_of(found, *given), batch.sequences.response_mask
        count = batch.sequences.tokens
        metrics = {
            name: ((values * mask).sum(), count)
            for name, values in {
                "loss/long": parts.long,
                "loss/single_step": parts.single_step,
                "policy/reverse_kl": parts.reverse_kl,
                "policy/clip_share": parts.clipped,
                "policy/ratio": (parts.log_probs - batch.old_log_probs).exp(),
            }.items()
        }
        return value / tokens, metrics

    def _plain_text_loss(
        self, module: nn.Module, batch: SequenceBatch, tokens: float
    ) -> tuple[Tensor, Metrics]:
        """L_PT: language modelling on plain text, against the teacher's distribution in part."""
        batch = batch.to(self.setup.device)
        value, _ = data_loss(self.setup, module, batch, self.method.lm_kd_ratio)
        metrics = {"loss/plain_text": (value.detach(), batch.tokens)}
        return self.method.lm_coef * value / tokens, metrics


def collection_metrics(rollout: Rollout, settings: Settings) -> Metrics:
    """What a collection of all processes tells about the policy and the weights."""
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
        "weights/max": (largest(weights[mask.bool()].max()), 1),
        "weights/min": (-largest(-weights[mask.bool()].min()), 1),
        "weights/effective_share": (
            diagnostics.effective_sample_share(weights, mask, total, largest),
            1,
        ),
    }
