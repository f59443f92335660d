"""Draws responses from the mixture p~ = alpha * p + (1 - alpha) * q (paper, equation 4).

Coins first: to draw a token, flip a coin with chance alpha; heads, draw from the teacher p, tails,
from the student q. The batch shares the coins, which leaves each row's distribution the mixture
exactly; only the rows become correlated. So the teacher is needed at heads alone, where it reads
all tokens since its last call in one cached pass: about alpha * T calls, every token read once.
Without a teacher (alpha = 0) the same loop is plain decoding, for evaluation and SeqKD.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from minillm.data.batches import PromptBatch, SequenceBatch
from minillm.models.forward import CachedReader
from minillm.models.heads import captured_hidden
from minillm.models.language_model import LanguageModel
from minillm.sampling.rollout import Rollout


@dataclass(frozen=True)
class Decoding:
    """How the policy's own tokens are drawn; temperature 0 takes the likeliest."""

    max_length: int
    temperature: float = 1.0
    top_k: int = 0  # 0: all
    top_p: float = 1.0

    def log_probs(self, log_probs: Tensor) -> Tensor:
        """The distribution `[B, V]` that is drawn from, given the model's own `[B, V]`."""
        if self.temperature == 0:
            best = log_probs.argmax(-1, keepdim=True)
            return torch.full_like(log_probs, -torch.inf).scatter(-1, best, 0.0)
        warpers = LogitsProcessorList()
        if self.temperature != 1:
            warpers.append(TemperatureLogitsWarper(self.temperature))
        if self.top_k:
            warpers.append(TopKLogitsWarper(self.top_k))
        if self.top_p < 1:
            warpers.append(TopPLogitsWarper(self.top_p))
        return warpers(None, log_probs).log_softmax(-1) if warpers else log_probs


class LazyTeacher:
    """Reads the responses only when asked, each token once, and keeps what it thought of them."""

    def __init__(self, model: LanguageModel, prompts: PromptBatch) -> None:
        self.reader = CachedReader(model, prompts)
        self.read = 0  # response tokens read so far
        self.next_log_probs: Tensor | None = None  # [B, V] of the first token not read
        self.token_log_probs: list[Tensor] = []  # [B, S] pieces
        self.hidden: list[Tensor] = []  # [B, S, d] pieces, from the first response token on

    def read_to(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Read on to the end of `ids` `[B, T]`; log p `[B, V]` of the token after it."""
        new_ids, new_mask = ids[:, self.read :], mask[:, self.read :]
        first = self.next_log_probs is None
        if first or new_ids.shape[1]:
            keep = new_ids.shape[1] + first
            with captured_hidden(self.reader.model.module) as captured:
                log_probs = self.reader.read(new_ids, new_mask, keep).log_softmax(-1)
            self.hidden += captured
            if not first:
                log_probs = torch.cat([self.next_log_probs[:, None], log_probs], dim=1)
            token_log_probs = log_probs[:, :-1].gather(-1, new_ids[..., None])[..., 0]
            self.token_log_probs.append(token_log_probs)
            self.next_log_probs = log_probs[:, -1]
            self.read = ids.shape[1]
        return self.next_log_probs

    def finish(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """log p `[B, T]` and hidden states `[B, T, d]` of every token, after one last pass."""
        last = self.read_to(ids[:, :-1], mask[:, :-1]).gather(-1, ids[:, -1:])
        return torch.cat([*self.token_log_probs, last], dim=1), torch.cat(self.hidden, dim=1)


@torch.no_grad()
def sample(
    policy: LanguageModel,
    prompts: PromptBatch,
    decoding: Decoding,
    generator: torch.Generator,
    teacher: LanguageModel | None = None,
    alpha: float = 0.0,
) -> Rollout:
    """Draw one response for each prompt, from `policy` or from its mixture with `teacher`.

    Args:
        policy: the student, or whichever model decodes alone.
        prompts: left-padded, `[B, P]`, on the policy's device.
        decoding: limits and warps the policy's part of the mixture.
        generator: the only source of chance.
        teacher: scores every token, and is drawn from with chance `alpha`.
        alpha: the teacher's share.

    Raises:
        FloatingPointError: the policy's logits are no numbers.

    Returns:
        The rollout, its tensors as long as the longest response.
    """
    end = torch.tensor(policy.eos_ids, device=prompts.ids.device)
    reader = CachedReader(policy, prompts)
    lazy_teacher = LazyTeacher(teacher, prompts) if teacher else None
    ids = prompts.ids[:, :0]
    mask = prompts.mask[:, :0]
    alive = torch.ones_like(prompts.ids[:, :1])
    student_parts, drawn_parts = [], []  # log-probabilities [B, 1] of each step
    new_ids, new_mask = ids, mask
    while True:
        own = reader.read(new_ids, new_mask, keep=1)[:, -1].log_softmax(-1)
        if own.isnan().any():
            raise FloatingPointError("the policy's logits are not finite")
        drawn = decoding.log_probs(own)
        heads = teacher is not None and _flip(alpha, generator)
        source = lazy_teacher.read_to(ids, mask) if heads else drawn
        token = torch.multinomial(source.exp(), 1, generator=generator)
        student_parts.append(own.gather(-1, token))
        drawn_parts.append(drawn.gather(-1, token))
        new_ids, new_mask = torch.where(alive.bool(), token, policy.pad_id), alive
        ids, mask = torch.cat([ids, new_ids], dim=1), torch.cat([mask, new_mask], dim=1)
        alive = alive * ~torch.isin(token, end)
        if ids.shape[1] == decoding.max_length or not alive.any():
            break
    padding = mask == 0
    student_log_probs = torch.cat(student_parts, dim=1).masked_fill(padding, 0.0)
    mixture_log_probs = torch.cat(drawn_parts, dim=1).masked_fill(padding, 0.0)
    teacher_log_probs = teacher_hidden = None
    if teacher:
        teacher_log_probs, teacher_hidden = lazy_teacher.finish(ids, mask)
        teacher_log_probs = teacher_log_probs.masked_fill(padding, 0.0)
        mixture_log_probs = mix(teacher_log_probs, mixture_log_probs, alpha)
    return Rollout(
        sequences=SequenceBatch(prompts.ids, prompts.mask, ids, mask),
        student_log_probs=student_log_probs,
        teacher_log_probs=teacher_log_probs,
        teacher_hidden=teacher_hidden,
        mixture_log_probs=mixture_log_probs,
        finished=alive[:, 0] == 0,
        student_calls=reader.calls,
        teacher_calls=lazy_teacher.reader.calls if teacher else 0,
    )


def _flip(alpha: float, generator: torch.Generator) -> bool:
    return bool(torch.rand((), generator=generator, device=generator.device) < alpha)


def mix(teacher_log_probs: Tensor, student_log_probs: Tensor, alpha: float) -> Tensor:
    """log(alpha * p + (1 - alpha) * q) (paper, equation 4), without leaving the logarithm."""
    if alpha in (0.0, 1.0):
        return teacher_log_probs if alpha else student_log_probs
    return torch.logaddexp(
        teacher_log_probs + math.log(alpha), student_log_probs + math.log(1 - alpha)
    )
