"""The schedule of the official code (microsoft/LMOps, minillm), built from the parts of our code.

Both models read every token when it is drawn, with caches. Rows that have ended stay in the batch,
and the mixture distribution of every step is stored. Then teacher and student read all sequences
again, for rewards and old log-probabilities. The student draws a second response per prompt, for
the log. In each inner epoch the teacher reads all sequences again, and the logits of both models
have the shape `[B, P + T, V]`. The loss of a rollout equals that of our schedule up to rounding.
"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.optim import AdamW

from benchmarks.ours import ALPHA, minillm_method, update
from benchmarks.shapes import Problem
from minillm.data.batches import PromptBatch, SequenceBatch
from minillm.models.forward import position_ids
from minillm.models.heads import output_head
from minillm.models.language_model import LanguageModel
from minillm.models.reader import CachedReader
from minillm.objectives.distributions import kl, log_softmax, token_log_probs
from minillm.objectives.minillm import Settings, advantages, importance_weights, losses
from minillm.sampling.rollout import Rollout
from minillm.sampling.sampler import draw, mix, uniform_numbers


@torch.no_grad()
def generate(
    student: LanguageModel,
    teacher: LanguageModel | None,
    prompts: PromptBatch,
    max_length: int,
    generator: torch.Generator,
) -> tuple[SequenceBatch, Tensor]:
    """Draw responses; both models read one token per row and step.

    Returns the responses, and the log-probabilities `[B, T, V]` that they were drawn from.
    """
    models = [student, teacher] if teacher else [student]
    readers = [CachedReader(model) for model in models]
    ends = torch.tensor(student.eos_ids, device=prompts.ids.device)
    unread = (prompts.ids, prompts.mask.bool().cpu())
    is_running = torch.ones_like(prompts.ids[:, 0], dtype=torch.bool)
    uniform = uniform_numbers(len(prompts.ids), max_length, generator).to(prompts.ids.device)
    ids, masks, scores = [], [], []
    while len(ids) < max_length and is_running.any():
        log_probs = [
            log_softmax(output_head(model).logits(reader.read(*unread)[:, -1]))
            for model, reader in zip(models, readers, strict=True)
        ]
        scores.append(mix(log_probs[1], log_probs[0], ALPHA) if teacher else log_probs[0])
        tokens, _ = draw(scores[-1], uniform[:, len(ids)])
        ids.append(tokens.where(is_running, student.pad_id))
        masks.append(is_running.long())
        is_running = is_running & ~torch.isin(tokens, ends)
        unread = ids[-1][:, None], torch.ones(len(prompts.ids), 1, dtype=torch.bool)
    responses = SequenceBatch(
        prompts.ids, prompts.mask, torch.stack(ids, dim=1), torch.stack(masks, dim=1)
    )
    return responses, torch.stack(scores, dim=1)


def response_log_probs(model: LanguageModel, batch: SequenceBatch) -> Tensor:
    """log q `[B, T, V]`, from one forward pass that also computes the logits of the prompt."""
    mask = torch.cat([batch.prompt_mask, batch.response_mask], dim=1)
    ids = torch.cat([batch.prompt_ids, batch.response_ids], dim=1)
    logits = model.module(
        ids, attention_mask=mask, position_ids=position_ids(mask), use_cache=False
    ).logits
    return log_softmax(logits[:, batch.prompt_ids.shape[1] - 1 : -1, : model.vocab_size])


def rollout_loss(
    student: LanguageModel,
    teacher: LanguageModel,
    rollout: Rollout,
    weights: Tensor,
    advantage: Tensor,
    *,
    settings: Settings,
    tokens: int,
) -> Tensor:
    """The loss of the rows of `rollout`, divided by `tokens`; computes both models' full logits."""
    with torch.no_grad():
        log_p = response_log_probs(teacher, rollout.sequences)
    log_q = response_log_probs(student, rollout.sequences)
    parts = losses(
        token_log_probs(log_q, rollout.sequences.response_ids),
        kl(log_q, log_p),
        rollout.student_log_probs,
        weights,
        advantage,
        settings=settings,
    )
    return (parts.total * rollout.mask).sum() / tokens


class Official:
    """Each call runs one collection with its inner epochs."""

    def __init__(self, problem: Problem, adamw: AdamW) -> None:
        self.problem, self.adamw = problem, adamw
        part = minillm_method(problem, problem.shape.inner_epochs).parts["tokens"]
        self.source, self.settings = part.source, part.loss.settings

    @torch.no_grad()
    def collect(self) -> Rollout:
        problem, generator = self.problem, self.source.coins
        student, teacher = problem.student, problem.teacher
        rows = [problem.examples[i].prompt_ids for i in next(self.source.prompts)]
        prompts = PromptBatch.pad(rows, student.pad_id).to(problem.device)
        length = problem.shape.response
        sequences, scores = generate(student, teacher, prompts, length, generator)
        ids, mask = sequences.response_ids, sequences.response_mask
        student_log_probs, teacher_log_probs, mixture_log_probs = (
            token_log_probs(log_probs(), ids) * mask
            for log_probs in (
                lambda: response_log_probs(student, sequences),
                lambda: response_log_probs(teacher, sequences),
                lambda: scores,
            )
        )
        generate(student, None, prompts, length, generator)
        finished = torch.isin(ids, torch.tensor(student.eos_ids, device=ids.device)).any(-1)
        return Rollout(sequences, student_log_probs, teacher_log_probs, None, mixture_log_probs,
                       finished)  # fmt: skip

    def __call__(self) -> None:
        rollout, settings, shape = self.collect(), self.settings, self.problem.shape
        log_probs = rollout.student_log_probs, rollout.mixture_log_probs
        weights = importance_weights(*log_probs, settings)
        advantage = advantages(
            log_probs[0], rollout.teacher_log_probs, log_probs[1], rollout.mask, settings=settings
        )
        tokens = rollout.sequences.tokens
        for _ in range(shape.inner_epochs):
            order = torch.randperm(
                len(rollout), generator=self.source.shuffle, device=weights.device
            )
            for rows in order.split(shape.micro_batch):
                rollout_loss(
                    self.problem.student, self.problem.teacher, _rows(rollout, rows),
                    weights[rows], advantage[rows], settings=settings, tokens=tokens,
                ).backward()  # fmt: skip
            update(self.problem.student.module, self.adamw)


def _rows(rollout: Rollout, rows: Tensor) -> Rollout:
    """The rows with the indices `rows`, with the padding of the whole rollout."""
    sequences = rollout.sequences
    selected = SequenceBatch(
        sequences.prompt_ids[rows],
        sequences.prompt_mask[rows],
        sequences.response_ids[rows],
        sequences.response_mask[rows],
    )
    return replace(
        rollout,
        sequences=selected,
        student_log_probs=rollout.student_log_probs[rows],
        teacher_log_probs=rollout.teacher_log_probs[rows],
        mixture_log_probs=rollout.mixture_log_probs[rows],
        finished=rollout.finished[rows],
    )
