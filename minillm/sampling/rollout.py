"""The output of the sampler: responses, and the values that it has computed for them."""

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from accelerate.utils import recursively_apply, send_to_device
from torch import Tensor

from minillm.data.batches import SequenceBatch
from minillm.devices import to_device


@dataclass(frozen=True)
class Rollout:
    """Sampled responses with the log-probabilities of their tokens.

    Log-probabilities are natural logarithms of shape `[B, T]`, and 0 on padding.

    Attributes:
        sequences: prompts and responses; the response mask includes EOS.
        student_log_probs: log q(y_t) of the student that sampled, at temperature 1.
        teacher_log_probs: log p(y_t), or None without a teacher.
        teacher_hidden: the teacher's last hidden states `[B, T, d]` that predict each token; the
            teacher's distribution can be computed from them (`models/heads.py`). None without a
            teacher.
        mixture_log_probs: log p~(y_t) of the sampled distribution.
        reverse_kl: exact KL[q || p] `[B, T]` at each token, in nats, of the student that sampled;
            None if it was not asked for.
        finished: bool `[B]`, whether the response ended in EOS before the length limit.
        steps: decoding steps; each step draws one token for each row of the batch.
        student_calls: forward passes of the student, including those over prompts and last tokens.
        teacher_calls: forward passes of the teacher, counted in the same way.
        teacher_prompt_calls: forward passes of the teacher that read prompts, with the tokens drawn
            so far.
    """

    sequences: SequenceBatch
    student_log_probs: Tensor
    teacher_log_probs: Tensor | None
    teacher_hidden: Tensor | None
    mixture_log_probs: Tensor
    finished: Tensor
    reverse_kl: Tensor | None = None
    steps: int = 0
    student_calls: int = 0
    teacher_calls: int = 0
    teacher_prompt_calls: int = 0

    @property
    def mask(self) -> Tensor:
        return self.sequences.response_mask

    @property
    def responses(self) -> list[list[int]]:
        """The token ids of each response, without padding. The host waits for the device once."""
        rows, lengths = self.sequences.response_ids.tolist(), self.sequences.response_lengths
        return [row[:length] for row, length in zip(rows, lengths.tolist(), strict=True)]

    def __len__(self) -> int:
        return len(self.finished)

    def select(self, rows: Tensor) -> "Rollout":
        """The rows with the indices `rows`, cut to their longest prompt and response.

        `rows` `[B']` is in host memory.
        """
        sequences = self.sequences.select(rows)
        length = sequences.response_ids.shape[1]
        index = to_device(rows, self.finished.device)

        def cut(values: Tensor | None) -> Tensor | None:
            return None if values is None else values[index, :length]

        return replace(
            self,
            sequences=sequences,
            student_log_probs=cut(self.student_log_probs),
            teacher_log_probs=cut(self.teacher_log_probs),
            teacher_hidden=cut(self.teacher_hidden),
            mixture_log_probs=cut(self.mixture_log_probs),
            finished=self.finished[index],
            reverse_kl=cut(self.reverse_kl),
        )

    def state_dict(self) -> dict[str, Any]:
        """All fields as plain values, for `torch.save`. Tensors are copies, so no view is saved."""
        names = [field.name for field in fields(SequenceBatch)]
        sequences = {name: getattr(self.sequences, name) for name in names}
        values = vars(self) | {"sequences": sequences}
        return recursively_apply(torch.clone, values)

    @staticmethod
    def from_state_dict(state: dict[str, Any], device: torch.device) -> "Rollout":
        """The rollout of a `state_dict`, which is in host memory, on a device."""
        values = send_to_device({k: v for k, v in state.items() if k != "sequences"}, device)
        return Rollout(SequenceBatch(**state["sequences"]).to(device), **values)
