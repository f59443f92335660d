"""Draws responses from the mixture p~ = alpha * p + (1 - alpha) * q (paper, equation 4).

To draw a token, the sampler flips a coin: heads with probability alpha. At heads, it draws from the
teacher p; at tails, from the student q. The rows of a batch share the coins. The distribution of
each row is still exactly the mixture; only the rows become correlated. So the teacher is needed
only at heads, and the student only at tails. The called model reads all tokens since its last call
in one cached forward pass (`lazy.py`). This takes about one forward pass per token, by either
model, and each model reads each token once.
New prompts replace rows that have ended.
Without a teacher, the same loop decodes for evaluation and SeqKD.
The host waits for the device once per step, for the flags of the rows that end (`lazy.py`).
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
from minillm.devices import to_device
from minillm.models.forward import RealTokens
from minillm.models.language_model import LanguageModel
from minillm.models.limits import column_limit
from minillm.objectives.chunked import vocabulary_terms
from minillm.objectives.divergences import ReverseKL
from minillm.objectives.targets import HeadTargets
from minillm.objectives.terms import DivergenceTerm, TeacherLogProb
from minillm.progress import count_responses
from minillm.sampling.lazy import LazyReader, Responses
from minillm.sampling.rollout import Rollout

# Share of the batch. Ended rows leave the batch together, because moving caches takes time.
ENDED_SHARE = 1 / 4


@dataclass(frozen=True)
class Decoding:
    """How tokens are drawn from the policy. Temperature 0 takes the most likely token."""

    max_length: int
    temperature: float = 1.0
    top_k: int = 0  # 0: all
    top_p: float = 1.0

    @property
    def warps(self) -> bool:
        """Whether the sampled distribution differs from the distribution of the model."""
        return self.temperature != 1 or self.top_k > 0 or self.top_p < 1

    def log_probs(self, log_probs: Tensor) -> Tensor:
        """The sampled distribution `[..., V]`, from the distribution `[..., V]` of the model."""
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
        warped = warpers(None, log_probs.flatten(0, -2))  # top-p takes two axes only
        return warped.view_as(log_probs).log_softmax(-1)


@torch.no_grad()
def sample(
    policy: LanguageModel,
    prompts: PromptBatch,
    decoding: Decoding,
    *,
    generator: torch.Generator | None = None,
    teacher: LanguageModel | None = None,
    teacher_prompts: PromptBatch | None = None,
    alpha: float = 0.0,
    coin_group: int | None = None,
    batch_size: int | None = None,
    uniform: Tensor | None = None,
    computes_reverse_kl: bool = False,
) -> Rollout:
    """Draw one response for each prompt, from `policy` or from its mixture with `teacher`.

    Args:
        policy: the student, or the only model if there is no teacher.
        prompts: left-padded, `[N, P]`, on the policy's device.
        decoding: limits and warps the policy's part of the mixture.
        generator: draws the coins, and `uniform` if `uniform` is None. It is in host memory, so
            that a coin needs no wait for the device.
        teacher: scores every token. Tokens are drawn from it with probability `alpha`.
        teacher_prompts: the teacher's prompts `[N, P']`; None: the policy's prompts.
        alpha: the teacher's share.
        coin_group: number of rows that share their coins; 1: no row shares them; None: all rows.
            The teacher reads for all rows if one group has heads. With G groups, it is called at a
            share 1 - (1 - alpha)^G of the steps, so small groups need almost one call per step.
        batch_size: rows decoded at once; None: all. New prompts, long prompts first, replace rows
            that have ended.
        uniform: numbers in [0, 1), float64 `[N, max_length]`, on any device; each number draws one
            token.
        computes_reverse_kl: whether the rollout has the exact KL[q || p] at each token. The hidden
            states of the forward passes are used again; no model makes another pass.

    Raises:
        FloatingPointError: the logits are not finite.
        ValueError: `computes_reverse_kl` without a teacher.

    Returns:
        The rollout in the order of the prompts. Its tensors are as long as the longest response.
    """
    if computes_reverse_kl and teacher is None:
        raise ValueError("computes_reverse_kl=True needs a teacher")
    count, limit, device = len(prompts.ids), decoding.max_length, prompts.ids.device
    if uniform is None:
        uniform = uniform_numbers(count, limit, generator)
    uniform = to_device(uniform, device)
    responses = Responses(prompts, limit, batch_size or count)
    student = LazyReader(
        policy,
        responses,
        warp=decoding.log_probs if decoding.warps else None,
        keeps_hidden=computes_reverse_kl,
    )
    scorer = teacher and LazyReader(
        teacher,
        responses,
        prompts=teacher_prompts,
        keeps_hidden=True,
        # The comparison with the student computes them from the same logits.
        scores_tokens=not computes_reverse_kl,
    )
    may_join = all(
        responses.most_columns(reader.prompts.ids.shape[1])
        <= column_limit(reader.model.module.config)
        for reader in (student, scorer)
        if reader
    )
    ends = to_device(torch.tensor(policy.eos_ids), device)
    responses.start()
    counted = 0  # ended responses that `count_responses` knows
    # The context keeps the weights that autocast has rounded, so that they are rounded only once.
    with policy.precision():
        while count := len(responses.rows):
            coins = flip(alpha, count, coin_group, generator) if scorer and alpha else [False]
            log_probs = _source(student, scorer, coins, coin_group)
            rows, positions = index = responses.next_index()
            tokens, total = draw(log_probs, uniform[rows, positions.clamp(max=limit - 1)])
            for reader, was_called in ((student, not all(coins)), (scorer, any(coins))):
                if was_called:
                    reader.record(index, tokens)
            responses.ids[index] = tokens
            flags = torch.stack([(tokens[:, None] == ends).any(-1), total[:, 0].isfinite()])
            is_end, is_finite = flags.cpu()  # the only wait for the device in a step
            if not is_finite.all():
                raise FloatingPointError("the logits are not finite")
            ended = responses.append(is_end)
            count_ended = int(ended.sum())
            all_ended = len(prompts.ids) - len(responses.queue) - count + count_ended
            count_responses(all_ended - counted)
            counted = all_ended
            if count_ended >= count * ENDED_SHARE:
                responses.rows = responses.rows[~ended]
                if may_join or count_ended == count:
                    responses.start()
        for reader in (student, scorer) if scorer else (student,):
            reader.finish()
    return _rollout(responses, student, scorer, ends=ends, pad_id=policy.pad_id, alpha=alpha)


def flip(alpha: float, rows: int, coin_group: int | None, generator: torch.Generator) -> list[bool]:
    """One coin per group of rows; True means heads, which selects the teacher."""
    groups = -(-rows // (coin_group or rows))
    return (torch.rand(groups, generator=generator) < alpha).tolist()


def _source(
    student: LazyReader, teacher: LazyReader | None, coins: list[bool], coin_group: int | None
) -> Tensor:
    """The log-probabilities `[B, V]` of the selected models. Calls only selected models."""
    if not any(coins):
        return student.next()
    p = teacher.next()
    if all(coins):
        return p
    rows = torch.tensor(coins).repeat_interleave(coin_group)[: len(p)]
    return torch.where(to_device(rows, p.device)[:, None], p, student.next())


def uniform_numbers(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Numbers in [0, 1), float64 `[rows, columns]`, in host memory."""
    return torch.rand(rows, columns, dtype=torch.float64, generator=generator)


def draw(log_probs: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """A token `[B]` from each distribution `[B, V]`, and the sums `[B, 1]` of the distributions.

    Inverts the cumulative distribution at one number per row, `uniform` `[B]`, in float64.
    `multinomial` draws a number for each entry of the vocabulary, in float32, and takes two to ten
    times as long on a CPU. Each row has its own number, so its token does not depend on other rows.
    """
    cumulative = log_probs.exp().cumsum(-1, dtype=torch.float64)
    total = cumulative[:, -1:]
    # u <= 1 - 2**-53, so u * total is below the total even after rounding. So some cumulative value
    # is above the product, and the first token with such a value has a probability above 0.
    tokens = torch.searchsorted(cumulative, uniform[:, None] * total, right=True)[:, 0]
    return tokens.clamp(max=log_probs.shape[-1] - 1), total  # for nan the index is V


def _rollout(
    responses: Responses,
    student: LazyReader,
    teacher: LazyReader | None,
    *,
    ends: Tensor,
    pad_id: int,
    alpha: float,
) -> Rollout:
    """The rollout, cut to the longest response."""
    length = int(responses.lengths.max())
    ids = responses.ids[:, :length]
    mask = to_device(torch.arange(length) < responses.lengths[:, None], ids.device)
    sequences = SequenceBatch.of_responses(
        responses.prompts, ids.masked_fill(~mask, pad_id), responses.lengths
    )
    last = ids.gather(1, to_device(responses.lengths[:, None] - 1, ids.device))

    def cut(values: Tensor) -> Tensor:
        return values[:, :length].masked_fill(~mask, 0.0)

    mixture_log_probs = cut(student.drawn)
    teacher_log_probs = teacher_hidden = reverse_kl = None
    if teacher:
        teacher_hidden = teacher.hidden_of(length)
        if teacher.scores_tokens:
            teacher_log_probs = cut(teacher.log_probs)
        else:
            teacher_log_probs, reverse_kl = _compare(student, teacher, teacher_hidden, sequences)
        mixture_log_probs = mix(teacher_log_probs, mixture_log_probs, alpha)
    return Rollout(
        sequences=sequences,
        student_log_probs=cut(student.log_probs),
        teacher_log_probs=teacher_log_probs,
        teacher_hidden=teacher_hidden,
        mixture_log_probs=mixture_log_probs,
        finished=(last == ends).any(-1),
        reverse_kl=reverse_kl,
        steps=responses.steps,
        student_calls=student.calls,
        teacher_calls=teacher.calls if teacher else 0,
        teacher_prompt_calls=teacher.prompt_calls if teacher else 0,
    )


def _compare(
    student: LazyReader, teacher: LazyReader, teacher_hidden: Tensor, sequences: SequenceBatch
) -> list[Tensor]:
    """The teacher's log-probabilities of the tokens, and KL[q || p] at each token.

    Both are `[N, T]`, and 0 on padding.
    """
    real = RealTokens(sequences)
    values = vocabulary_terms(
        real.select(student.hidden_of(real.shape[1])),
        student.head,
        real.ids,
        terms={"log_probs": TeacherLogProb(), "reverse_kl": DivergenceTerm(ReverseKL())},
        targets=HeadTargets(real.select(teacher_hidden), teacher.head),
    )
    return list(real.scatter(values))


def mix(teacher_log_probs: Tensor, student_log_probs: Tensor, alpha: float) -> Tensor:
    """log(alpha * p + (1 - alpha) * q) (paper, equation 4), from log-probabilities."""
    if alpha in (0.0, 1.0):
        return teacher_log_probs if alpha else student_log_probs
    return torch.logaddexp(
        teacher_log_probs + math.log(alpha), student_log_probs + math.log(1 - alpha)
    )
