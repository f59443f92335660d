"""Lower bound of the time of a collection: the parts that every schedule needs, timed separately.

The parts are one forward pass of the teacher over all tokens, the decoding of the student, and the
student's forward and backward passes of the inner epochs. They contain no padding and no
computation of the method. The loss of the inner epochs is the log-probability of the tokens, so
that the teacher's distribution, which the single-step term needs, counts as overhead of our
schedule.
"""

from collections.abc import Callable

import torch

from benchmarks.shapes import Problem
from minillm.data.batches import PromptBatch, SequenceBatch
from minillm.models.forward import response_loss, response_terms
from minillm.objectives.terms import TokenLogProb
from minillm.sampling.rollout import Rollout
from minillm.sampling.sampler import Decoding, sample
from minillm.sources.shuffled import Shuffled

TERMS = {"log_probs": TokenLogProb()}


class Bound:
    """The parts of one collection; `teacher` and `student` read the last rollout of `decode`."""

    PARTS = ("student's decoding", "teacher, one pass", "student, inner epochs")

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.prompts = Shuffled(
            len(problem.examples), problem.shape.rollouts, seed=0, rank=0, world=1
        )
        self.generator = torch.Generator().manual_seed(0)
        self.rollout: Rollout | None = None

    @property
    def parts(self) -> dict[str, Callable[[], None]]:
        return dict(zip(self.PARTS, (self.decode, self.teacher, self.student), strict=True))

    def decode(self) -> None:
        student = self.problem.student
        rows = [self.problem.examples[i].prompt_ids for i in next(self.prompts)]
        prompts = PromptBatch.pad(rows, student.pad_id).to(self.problem.device)
        decoding = Decoding(self.problem.shape.response)
        self.rollout = sample(student, prompts, decoding, generator=self.generator)

    def teacher(self) -> None:
        for batch in self._batches():
            response_terms(self.problem.teacher, batch, terms=TERMS)

    def student(self) -> None:
        student = self.problem.student
        for _ in range(self.problem.shape.inner_epochs):
            for batch in self._batches():
                loss, _ = response_loss(
                    student.module, batch, student, terms=TERMS,
                    loss=lambda values: values["log_probs"],
                )  # fmt: skip
                loss.backward()
            student.module.zero_grad()

    def _batches(self) -> list[SequenceBatch]:
        """The number of drawn tokens, in rows of the mean length, so that there is no padding."""
        sequences, size = self.rollout.sequences, self.problem.shape.micro_batch
        count = len(sequences)
        prompt, response = (
            round(float(mask.sum()) / count)
            for mask in (sequences.prompt_mask, sequences.response_mask)
        )
        ids = torch.cat([sequences.prompt_ids, sequences.response_ids], dim=1)
        ids = ids[:, -prompt - response :][:, : prompt + response]
        mask = torch.ones_like(ids)
        batch = SequenceBatch(ids[:, :prompt], mask[:, :prompt], ids[:, prompt:], mask[:, prompt:])
        return [batch.select(rows) for rows in torch.arange(count).split(size)]
