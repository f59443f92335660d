"""What the sampler hands on: responses, and all that it already knows about them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from minillm.data.batches import SequenceBatch


@dataclass(frozen=True)
class Rollout:
    """Sampled responses with the log-probabilities of their tokens.

    Shapes are `[B, T]`, natural logarithms, 0 on padding.

    Attributes:
        sequences: prompts and responses; the response mask covers the EOS.
        student_log_probs: log q(y_t) of the student that sampled, at temperature 1.
        teacher_log_probs: log p(y_t), or None where no teacher was given.
        teacher_hidden: the teacher's last hidden states `[B, T, d]` that predict each token, from
            which its whole distribution can be rebuilt (`models/heads.py`); None without one.
        mixture_log_probs: log p~(y_t) of the distribution that was drawn from.
        finished: bool `[B]`, whether the response ended in EOS before the length limit.
        student_calls: forward passes of the student.
        teacher_calls: forward passes of the teacher.
    """

    sequences: SequenceBatch
    student_log_probs: Tensor
    teacher_log_probs: Tensor | None
    teacher_hidden: Tensor | None
    mixture_log_probs: Tensor
    finished: Tensor
    student_calls: int = 0
    teacher_calls: int = 0

    @property
    def mask(self) -> Tensor:
        return self.sequences.response_mask

    def __len__(self) -> int:
        return len(self.finished)

    def select(self, rows: Tensor) -> "Rollout":
        """Some rows, cut to their longest prompt and response."""
        sequences = self.sequences.select(rows)
        length = sequences.response_ids.shape[1]

        def cut(values: Tensor | None) -> Tensor | None:
            return None if values is None else values[rows, :length]

        return replace(
            self,
            sequences=sequences,
            student_log_probs=cut(self.student_log_probs),
            teacher_log_probs=cut(self.teacher_log_probs),
            teacher_hidden=cut(self.teacher_hidden),
            mixture_log_probs=cut(self.mixture_log_probs),
            finished=self.finished[rows],
        )


def concatenate(rollouts: Sequence[Rollout]) -> Rollout:
    """Join rollouts, padded to the longest prompt and response among them."""
    if len(rollouts) == 1:
        return rollouts[0]
    width = max(rollout.sequences.prompt_ids.shape[1] for rollout in rollouts)
    length = max(rollout.sequences.response_ids.shape[1] for rollout in rollouts)

    def left(tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat([functional.pad(x, (width - x.shape[1], 0)) for x in tensors])

    def right(tensors: Sequence[Tensor | None]) -> Tensor | None:
        if tensors[0] is None:
            return None
        features = (0, 0) * (tensors[0].dim() - 2)
        return torch.cat([
            functional.pad(x, (*features, 0, length - x.shape[1])) for x in tensors
        ])  # fmt: skip

    sequences = [rollout.sequences for rollout in rollouts]
    return Rollout(
        sequences=SequenceBatch(
            left([x.prompt_ids for x in sequences]),
            left([x.prompt_mask for x in sequences]),
            right([x.response_ids for x in sequences]),
            right([x.response_mask for x in sequences]),
        ),
        student_log_probs=right([x.student_log_probs for x in rollouts]),
        teacher_log_probs=right([x.teacher_log_probs for x in rollouts]),
        teacher_hidden=right([x.teacher_hidden for x in rollouts]),
        mixture_log_probs=right([x.mixture_log_probs for x in rollouts]),
        finished=torch.cat([x.finished for x in rollouts]),
        student_calls=sum(x.student_calls for x in rollouts),
        teacher_calls=sum(x.teacher_calls for x in rollouts),
    )
