"""Students and teachers that are tables of logits, small enough to enumerate all responses.

A table has one row of logits per prefix that can continue. The sum over all responses y of p~(y)
times the gradient of the loss of y is the exact expectation that sampling estimates. All values are
float64.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import torch
from torch import Tensor

from minillm.objectives.distributions import kl, log_softmax, token_log_probs
from minillm.objectives.minillm import (
    Settings,
    advantages,
    importance_weights,
    losses,
    whitened,
)
from minillm.sampling.sampler import mix

EOS = 0
LARGE_BATCH = 1e12


@dataclass(frozen=True)
class Responses:
    """All responses that end with EOS or have `length` tokens.

    Attributes:
        vocab: size of the vocabulary with EOS.
        length: maximum number of tokens.
        ids: `[N, T]`, padded on the right with EOS.
        mask: `[N, T]`.
        rows: row of the table that each token is drawn from, `[N, T]`; 0 on padding.
    """

    vocab: int
    length: int
    ids: Tensor
    mask: Tensor
    rows: Tensor

    @staticmethod
    def all(vocab: int, length: int) -> "Responses":
        prefixes = [p for n in range(length) for p in product(range(1, vocab), repeat=n)]
        row = {prefix: i for i, prefix in enumerate(prefixes)}
        longest_prefixes = [p for p in prefixes if len(p) == length - 1]
        longest = [(*prefix, token) for prefix in longest_prefixes for token in range(vocab)]
        shorter = [(*prefix, EOS) for prefix in prefixes if len(prefix) < length - 1]
        responses = shorter + longest
        ids = [[*y, *[EOS] * (length - len(y))] for y in responses]
        mask = [[1] * len(y) + [0] * (length - len(y)) for y in responses]
        rows = [[row[y[:t]] if t < len(y) else 0 for t in range(length)] for y in responses]
        return Responses(vocab, length, *map(torch.tensor, (ids, mask, rows)))

    @property
    def table_shape(self) -> tuple[int, int]:
        return int(self.rows.max()) + 1, self.vocab

    def random_table(self, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(self.table_shape, generator=generator, dtype=torch.float64)

    def log_probs(self, table: Tensor) -> Tensor:
        """Log-probabilities `[N, T]` of the tokens of all responses; 0 on padding."""
        return token_log_probs(log_softmax(table)[self.rows], self.ids) * self.mask


@dataclass(frozen=True)
class Policies:
    """The student at sampling time, the teacher, and the mixture that responses are drawn from."""

    responses: Responses
    student: Tensor
    teacher: Tensor
    alpha: float

    @cached_property
    def student_log_probs(self) -> Tensor:
        return self.responses.log_probs(self.student)

    @cached_property
    def teacher_log_probs(self) -> Tensor:
        return self.responses.log_probs(self.teacher)

    @cached_property
    def mixture_log_probs(self) -> Tensor:
        return mix(self.teacher_log_probs, self.student_log_probs, self.alpha)

    @cached_property
    def probabilities(self) -> Tensor:
        """p~(y) of each response, `[N]`."""
        return self.mixture_log_probs.sum(-1).exp()

    def weights(self, settings: Settings) -> Tensor:
        return importance_weights(self.student_log_probs, self.mixture_log_probs, settings)

    @cached_property
    def reverse_kl(self) -> Tensor:
        """KL[q || p] at each token, `[N, T]`."""
        tables = log_softmax(self.student), log_softmax(self.teacher)
        return kl(*tables)[self.responses.rows] * self.responses.mask

    def advantages(self, settings: Settings) -> Tensor:
        mask = self.responses.mask
        values = advantages(
            self.student_log_probs,
            self.teacher_log_probs,
            self.mixture_log_probs,
            mask,
            settings=settings,
            reverse_kl=self.reverse_kl,
            sum_rows=self.sums_over_a_large_batch,
        )
        return whitened(values, mask, settings=settings)

    def sums_over_a_large_batch(self, rows: Tensor) -> Tensor:
        """The sums over samples of p~, so many that the mean of the others is the exact mean."""
        return LARGE_BATCH * torch.tensordot(self.probabilities, rows, 1)

    def exact_gradient(self) -> tuple[Tensor, Tensor]:
        """KL[q || p] of whole responses, and its gradient by the student's table (autograd)."""
        student = self.student.clone().requires_grad_()
        log_q = self.responses.log_probs(student).sum(-1)
        kl = (log_q.exp() * (log_q - self.teacher_log_probs.sum(-1))).sum()
        return kl.detach(), torch.autograd.grad(kl, student)[0]

    def exact_gradient_per_token(self) -> tuple[Tensor, Tensor]:
        """KL[q || p] / E[T], and its gradient times the mean number of tokens, E[T]."""
        student = self.student.clone().requires_grad_()
        log_q = self.responses.log_probs(student).sum(-1)
        kl = (log_q.exp() * (log_q - self.teacher_log_probs.sum(-1))).sum()
        tokens = (log_q.exp() * self.responses.mask.sum(-1)).sum()
        (gradient,) = torch.autograd.grad(kl / tokens, student)
        return (kl / tokens).detach(), tokens.detach() * gradient

    def gradients(
        self,
        settings: Settings,
        weights: Tensor,
        advantages: Tensor,
        current_student: Tensor | None = None,
    ) -> Tensor:
        """Gradients `[N, T, V]` of the loss of each response by the logits at its tokens.

        `current_student` is the student that is trained; None for the student at sampling time.
        """
        table = self.student if current_student is None else current_student
        logits = table[self.responses.rows].requires_grad_()
        log_p = log_softmax(self.teacher)[self.responses.rows]
        log_q = log_softmax(logits)
        terms = token_log_probs(log_q, self.responses.ids), kl(log_q, log_p)
        parts = losses(*terms, self.student_log_probs, weights, advantages, settings=settings)
        return torch.autograd.grad((parts.total * self.responses.mask).sum(), logits)[0]

    def expectation(self, gradients: Tensor) -> Tensor:
        """The mean over p~ of gradients `[N, T, V]`, as a gradient by the table."""
        shares = (self.probabilities[:, None, None] * gradients).flatten(0, 1)
        total = torch.zeros(self.responses.table_shape, dtype=shares.dtype)
        return total.index_add(0, self.responses.rows.flatten(), shares)

    def expected_gradient(
        self, settings: Settings, current_student: Tensor | None = None
    ) -> Tensor:
        """The mean over samples of the gradient of the loss."""
        weights, advantages = self.weights(settings), self.advantages(settings)
        return self.expectation(self.gradients(settings, weights, advantages, current_student))
