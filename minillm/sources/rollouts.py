"""The source of MiniLLM: responses sampled from the mixture of teacher and student (eq. 4).

The source repeats two phases (algorithm 1). It samples `rollouts_per_collection` responses from the
student as it is, `responses_per_prompt` for each prompt. Then it goes over them `inner_epochs`
times in mini-batches, one mini-batch per optimiser step. The teacher reads every response once,
while the response is sampled.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from minillm.data.batches import PromptBatch
from minillm.data.encoding import teacher_prompt_batch
from minillm.models.heads import output_head
from minillm.objectives import diagnostics, returns
from minillm.objectives.targets import HeadTargets
from minillm.processes import failing_together
from minillm.progress import responses_shown
from minillm.sampling.generate import uniforms_by_number
from minillm.sampling.rollout import Rollout
from minillm.sampling.sampler import Decoding, sample
from minillm.sources.shuffled import Shuffled
from minillm.sources.source import SourceStep, TrainingBatch
from minillm.training.metrics import Metrics
from minillm.training.setup import Setup


class Rollouts:
    """Samples responses from the mixture, and yields them in mini-batches for some inner epochs."""

    state_is_shared = False  # each process has rollouts of its own

    def __init__(self, setup: Setup, *, computes_reverse_kl: bool = False) -> None:
        self.setup = setup
        self.method = setup.config.method
        self.computes_reverse_kl = computes_reverse_kl
        repeats = self.method.responses_per_prompt
        self.epoch_size = len(setup.train) * repeats * self.method.inner_epochs
        batch_size = setup.config.training.batch_size
        mini_batches = -(-self.method.rollouts_per_collection // batch_size)
        self.steps_per_collection = mini_batches * self.method.inner_epochs
        self.coins = setup.generator("sampling")
        self.shuffle = setup.generator("mini-batches")
        self.prompts = Shuffled(
            len(setup.train),
            self.method.rollouts_per_collection // repeats,
            seed=setup.seed("prompts"),
            rank=setup.rank,
            world=setup.world,
        )
        self.rollout: Rollout | None = None  # of the last collection
        # The rows of each remaining mini-batch of all inner epochs, in host memory.
        self.mini_batches: list[Tensor] = []

    def __iter__(self) -> Iterator[SourceStep]:
        while True:
            metrics, collection = {}, None
            if not self.mini_batches:
                collection, metrics = self.collect()
                self.rollout, self.mini_batches = collection, self._mini_batches(len(collection))
            batch = self.batch(self.rollout, self.mini_batches.pop(0))
            batch = replace(batch, is_first=collection is not None)
            yield SourceStep(batch, metrics, collection)

    def collect(self) -> tuple[Rollout, Metrics]:
        """Sample responses for the next prompts, and return them and their metrics."""
        start = time.perf_counter()
        repeats = self.method.responses_per_prompt
        examples = [self.setup.train[i] for i in next(self.prompts) for _ in range(repeats)]
        # Every response has a number of its own, which its random numbers depend on.
        numbers = [n * repeats + i for n in self.prompts.numbers for i in range(repeats)]
        limit = self.setup.config.data.max_response_length
        seed, device = self.setup.seed("sampling"), self.setup.device
        teacher = self.setup.teacher.sampler
        with (
            self.setup.student.whole(rounded=True) as student,
            teacher.whole() as whole_teacher,
            responses_shown("sampling", len(examples) * self.setup.world),
            failing_together(FloatingPointError),
        ):
            student.module.eval()  # a new student has dropout on until its first evaluation
            rollout = sample(
                student,
                PromptBatch.pad([x.prompt_ids for x in examples], student.pad_id).to(device),
                Decoding(limit, self.method.temperature),
                generator=self.coins,
                teacher=whole_teacher,
                teacher_prompts=teacher_prompt_batch(examples, student.pad_id, device),
                alpha=self.method.alpha,
                coin_group=self.method.coin_group,
                batch_size=self.method.sampling_batch_size,
                uniform=uniforms_by_number(seed, numbers, limit),
                computes_reverse_kl=self.computes_reverse_kl,
            )
        metrics = rollout_metrics(rollout)
        metrics["rollout/seconds"] = (time.perf_counter() - start, 1)
        return rollout, metrics

    def batch(self, collection: Rollout, rows: Tensor) -> TrainingBatch:
        """Responses with the targets that the teacher gave while they were sampled."""
        rollout = collection.select(rows)
        head = output_head(self.setup.teacher.sampler).ready()
        targets = HeadTargets(rollout.teacher_hidden, head)
        return TrainingBatch(rollout.sequences, targets=targets, collection=collection, rows=rows)

    def _mini_batches(self, count: int) -> list[Tensor]:
        """Rows of every mini-batch; each inner epoch has an order of its own."""
        size = self.setup.config.training.batch_size // self.setup.world
        orders = [
            torch.randperm(count, generator=self.shuffle) for _ in range(self.method.inner_epochs)
        ]
        return [rows for order in orders for rows in order.split(size)]

    def state_dict(self) -> dict[str, Any]:
        """The rollouts, the mini-batches to come, and the states of prompts and generators."""
        return {
            "rollout": self.rollout.state_dict() if self.mini_batches else None,
            "mini_batches": [rows.clone() for rows in self.mini_batches],  # not views of an order
            "coins": self.coins.get_state(),
            "shuffle": self.shuffle.get_state(),
            "prompts": self.prompts.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["rollout"]:
            self.rollout = Rollout.from_state_dict(state["rollout"], self.setup.device)
        self.mini_batches = state["mini_batches"]
        self.coins.set_state(state["coins"])
        self.shuffle.set_state(state["shuffle"])
        self.prompts.load_state_dict(state["prompts"])


def rollout_metrics(rollout: Rollout) -> Metrics:
    """Metrics of a collection: length, reward, repetition, and calls of the teacher."""
    mask, rows, tokens = rollout.mask, len(rollout), rollout.sequences.tokens
    lengths = mask.sum(-1)
    rewards = returns.rewards(rollout.teacher_log_probs, rollout.student_log_probs, mask)
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
    }
