"""Sampling and training have the same arithmetic under autocast."""

from collections import Counter
from dataclasses import replace

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from minillm.data.batches import PromptBatch
from minillm.models.forward import response_terms
from minillm.sampling.sampler import Decoding, sample
from tests.objectives.small_heads import LOG_PROBS
from tests.tiny import EOS, tiny_model


class Rounded(TorchDispatchMode):
    """Counts how often each shape is rounded to bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[torch.Size] = Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        if operation is torch.ops.aten._to_copy.default and result.dtype == torch.bfloat16:
            self.counts[result.shape] += 1
        return result


PROMPTS = PromptBatch.pad([[1 + i * j % 49 for j in range(1 + i % 6)] for i in range(1, 65)], EOS)


def test_old_and_new_log_probabilities_differ_less_than_the_two_precisions():
    exact = tiny_model(1, vocab_size=50)
    exact.module.float()
    rounded = replace(exact, autocast=torch.bfloat16)
    teacher = replace(tiny_model(2, vocab_size=50), autocast=torch.bfloat16)
    teacher.module.float()

    def error(old, new) -> float:
        generator = torch.Generator().manual_seed(3)
        rollout = sample(old, PROMPTS, Decoding(20), generator=generator, teacher=teacher,
                         alpha=0.2, batch_size=16)  # fmt: skip
        for model, log_probs in ((new, rollout.student_log_probs),
                                 (teacher, rollout.teacher_log_probs)):  # fmt: skip
            values = response_terms(model, rollout.sequences, terms=LOG_PROBS)["log_probs"]
            yield float((values - log_probs).abs().sum() / rollout.mask.sum())

    student, of_teacher = error(rounded, rounded)
    mixed, _ = error(exact, rounded)
    assert student < mixed / 3 and of_teacher < mixed / 3


def test_the_weights_are_rounded_once_per_collection():
    student = replace(tiny_model(1, vocab_size=50, kind="llama"), autocast=torch.bfloat16)
    student.module.float()
    with Rounded() as rounded:
        rollout = sample(student, PROMPTS, Decoding(20), generator=torch.Generator())
    assert rollout.steps > 2
    weights = [p.shape for name, p in student.module.model.named_parameters() if "_proj" in name]
    assert {shape: rounded.counts[shape] for shape in weights} == Counter(weights)
