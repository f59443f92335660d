"""The sampler keeps the hidden states of drawn tokens only."""

import gc

import pytest
import torch

from minillm.data.batches import PromptBatch
from minillm.sampling import sampler
from minillm.sampling.sampler import Decoding, sample
from tests.tiny import EOS, tiny_model

PROMPTS = [[1 + (i * j) % 3 for j in range(20 + i % 6)] for i in range(32)]
WIDTH, LENGTH = 8, 6


def bytes_of_states() -> int:
    """The memory of all tensors `[.., .., d]`, each storage once."""
    tensors = [x for x in gc.get_objects() if type(x) is torch.Tensor]
    states = [x.untyped_storage() for x in tensors if x.dim() == 3 and x.shape[-1] == WIDTH]
    return sum({x.data_ptr(): x.nbytes() for x in states}.values())


@pytest.mark.parametrize(("computes_reverse_kl", "models"), [(False, 1), (True, 2)])
def test_states_of_prompts_and_padding_are_not_kept(computes_reverse_kl, models, monkeypatch):
    kept = []

    def measured(*arguments, original=sampler._rollout, **options):
        result = original(*arguments, **options)
        gc.collect()
        kept.append(bytes_of_states())
        return result

    monkeypatch.setattr(sampler, "_rollout", measured)
    student, teacher = tiny_model(1), tiny_model(2)
    gc.collect()
    before = bytes_of_states()
    result = sample(
        student, PromptBatch.pad(PROMPTS, EOS), Decoding(LENGTH), teacher=teacher, alpha=0.3,
        generator=torch.Generator().manual_seed(1), batch_size=8,
        computes_reverse_kl=computes_reverse_kl,
    )  # fmt: skip
    needed = result.teacher_hidden.nbytes
    assert result.teacher_hidden.shape == (len(PROMPTS), LENGTH, WIDTH)
    assert kept[0] - before <= 1.3 * models * needed
    # What stays after the call: nothing but the table itself, also if all responses are shorter.
    short = sample(student, PromptBatch.pad(PROMPTS[:4], EOS), Decoding(6), teacher=teacher,
                   alpha=1.0, generator=torch.Generator().manual_seed(4))  # fmt: skip
    for rollout in (result, short):
        assert rollout.teacher_hidden.untyped_storage().nbytes() == rollout.teacher_hidden.nbytes
    assert short.teacher_hidden.shape[1] < LENGTH
