"""The sampler against enumeration and against full forward passes."""

from collections import Counter
from itertools import product

import pytest
import torch

from minillm.data.batches import PromptBatch
from minillm.models import cache
from minillm.models.heads import output_head
from minillm.sampling import sampler
from minillm.sampling.generate import generate
from minillm.sampling.sampler import Decoding, mix, sample
from tests.tiny import EOS, all_responses, chi_square_p, log_prob_table, response_logits, tiny_model

PROMPTS = [[1, 2, 3, 1], [3], [2, 2], [1, 3, 2]]  # of different lengths: padded on the left


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rollout(alpha: float, kind: str = "gpt2", length: int = 12, **decoding):
    student, teacher = tiny_model(1, kind=kind), tiny_model(2, kind=kind)
    prompts = PromptBatch.pad(PROMPTS * 8, EOS)
    result = sample(student, prompts, Decoding(length, **decoding), generator(), teacher, alpha)
    return result, student, teacher


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.0])
def test_log_probs_equal_those_of_full_forward_passes(kind, alpha):
    result, student, teacher = rollout(alpha, kind)
    expected_student = log_prob_table(student, result.sequences)
    expected_teacher = log_prob_table(teacher, result.sequences)
    torch.testing.assert_close(result.student_log_probs, expected_student, atol=1e-10, rtol=0)
    torch.testing.assert_close(result.teacher_log_probs, expected_teacher, atol=1e-10, rtol=0)
    p, q = expected_teacher.exp(), expected_student.exp()
    mixture = torch.where(result.mask.bool(), (alpha * p + (1 - alpha) * q).log(), 0.0)
    torch.testing.assert_close(result.mixture_log_probs, mixture, atol=1e-10, rtol=0)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_the_teachers_distribution_is_rebuilt_from_its_hidden_states(alpha):
    result, _, teacher = rollout(alpha)
    rebuilt = output_head(teacher).logits(result.teacher_hidden)
    expected = response_logits(teacher, result.sequences)
    real = result.mask.bool()
    torch.testing.assert_close(rebuilt[real], expected[real], atol=1e-10, rtol=0)


def test_the_teacher_is_called_at_heads_and_once_at_the_end(monkeypatch):
    coins = iter([False, True, False, False, True, False])
    monkeypatch.setattr(sampler, "flip", lambda *_: [next(coins, False)])
    result, _, _ = rollout(0.2, length=6)
    assert (result.steps, result.teacher_calls) == (6, 3)
    assert result.student_calls == 4  # at tails alone, its last token read at the last of them
    monkeypatch.undo()
    assert rollout(0.0)[0].teacher_calls == 1
    assert rollout(1.0)[0].student_calls == 1


def test_drawn_sequences_follow_the_sources_that_the_coins_name(monkeypatch):
    """For every pattern of coins; mixed with alpha^heads (1-alpha)^tails these are p~ exactly."""
    length, rows, prompt = 3, 4_000, [1, 2]
    student, teacher = tiny_model(1), tiny_model(2)
    responses = all_responses(prompt, 4, length)
    q, p = log_prob_table(student, responses), log_prob_table(teacher, responses)
    names = [tuple(ids) for ids in responses.response_ids.tolist()]
    mixture = torch.zeros(len(names), dtype=torch.float64)
    for pattern in product([False, True], repeat=length):
        coins = iter(pattern)
        monkeypatch.setattr(sampler, "flip", lambda *_, coins=coins: [next(coins)])
        expected = torch.where(torch.tensor(pattern), p, q).sum(-1).exp()
        mixture += 0.3 ** sum(pattern) * 0.7 ** (length - sum(pattern)) * expected
        prompts = PromptBatch.pad([prompt] * rows, EOS)
        drawn = sample(student, prompts, Decoding(length), generator(3), teacher, 0.3)
        counts = Counter(map(tuple, drawn.sequences.response_ids.tolist()))
        observed = torch.tensor([counts[name] for name in names], dtype=torch.float64)
        assert observed.sum() == rows  # nothing but these sequences is drawn
        assert chi_square_p(observed, expected) > 1e-3
    torch.testing.assert_close(mixture, mix(p, q, 0.3).sum(-1).exp(), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("coin_group", "decoding"), [(1, Decoding(3, 0.7, top_k=3, top_p=0.95)), (2, Decoding(3))]
)
def test_two_hundred_thousand_responses_follow_the_mixture(coin_group, decoding, monkeypatch):
    """Own coins with rows that leave and join; and in pairs that share theirs and stay together."""
    if coin_group > 1:
        monkeypatch.setattr(sampler, "ENDED_SHARE", 1)
    monkeypatch.setattr(cache, "ROOM", 4)
    student, teacher, count = tiny_model(1), tiny_model(2), 200_000
    prompts = PromptBatch.pad([[1, 2]] * count, EOS)
    drawn = sample(student, prompts, decoding, generator(5), teacher, 0.4, coin_group, 20_000)
    responses = all_responses([1, 2], 4, 3)
    with torch.no_grad():
        logits = [response_logits(m, responses).log_softmax(-1)
                  for m in (student, teacher)]  # fmt: skip
    table = mix(logits[1], decoding.log_probs(logits[0]), 0.4)
    table = table.gather(-1, responses.response_ids[..., None])[..., 0]
    expected = table.masked_fill(responses.response_mask == 0, 0.0).sum(-1).exp()
    digits = torch.tensor([16, 4, 1])
    names = (responses.response_ids * digits).sum(-1)  # a response of EOS alone is 0, padding too
    observed = (drawn.sequences.response_ids * digits).sum(-1)
    for part in range(coin_group):  # one row of each pair: these are independent
        counts = observed[part::coin_group].bincount(minlength=64)[names]
        assert chi_square_p(counts.double(), expected) > 1e-3
        assert counts.sum() == count // coin_group  # nothing but these is drawn


def test_masks_end_with_the_first_eos_and_unfinished_rows_fill_the_limit():
    result, _, _ = rollout(0.2, length=5)
    for ids, mask, finished in zip(
        result.sequences.response_ids, result.mask, result.finished, strict=True
    ):
        response = ids[: mask.sum()].tolist()
        assert EOS not in response[:-1]
        assert bool(finished) == (response[-1] == EOS)
        assert finished or len(response) == 5
    assert 0 < result.finished.sum() < len(result)


def test_temperature_and_truncation_shape_the_students_part_and_enter_the_mixture():
    result, student, teacher = rollout(0.5, temperature=0.7, top_k=2)
    q, p = log_prob_table(student, result.sequences), log_prob_table(teacher, result.sequences)
    torch.testing.assert_close(result.student_log_probs, q, atol=1e-10, rtol=0)  # untempered
    real = result.mask.bool()
    drawn = (result.mixture_log_probs.exp() - 0.5 * p.exp()) / 0.5  # the student's part
    # Two tokens stay of four, so many teacher tokens have no student part at all.
    assert (drawn[real].abs() < 1e-9).any()
    assert (drawn[real] < 1 + 1e-9).all()
    warped = Decoding(1, temperature=0.7, top_k=2).log_probs(torch.tensor([[0.5, 0.3, 0.15, 0.05]])
                                                             .double().log())  # fmt: skip
    powers = torch.tensor([0.5, 0.3]).double() ** (1 / 0.7)
    torch.testing.assert_close(warped.exp()[0, :2], powers / powers.sum())
    assert (warped.exp()[0, 2:] == 0).all()


def test_greedy_takes_the_likeliest_token():
    student = tiny_model(1)
    prompts = PromptBatch.pad(PROMPTS, EOS)
    result = sample(student, prompts, Decoding(6, temperature=0), generator())
    best = log_prob_table(student, result.sequences)
    for token in range(4):
        other = result.sequences.response_ids.clone()
        other[:, 0] = token
        changed = result.sequences.__class__(
            prompts.ids, prompts.mask, other, result.sequences.response_mask
        )
        assert (log_prob_table(student, changed)[:, 0] <= best[:, 0] + 1e-12).all()


def test_a_prompts_response_depends_on_neither_batches_nor_the_other_prompts():
    student = tiny_model(1)
    prompts = PROMPTS * 4

    def responses(batch_size: int, indices: list[int] | None = None) -> dict[int, list[int]]:
        found = {}
        for rows, drawn in generate(student, prompts, Decoding(6), batch_size, 5, indices):
            ids, masks = drawn.sequences.response_ids, drawn.mask.bool()
            found |= {i: row[mask].tolist() for i, row, mask in zip(rows, ids, masks, strict=True)}
        return found

    whole = responses(16)
    assert sorted(whole) == list(range(16))
    assert len({tuple(whole[i]) for i in range(3, 16, 4)}) > 1, "the draws are not all the same"
    assert responses(1) == responses(3) == whole
    assert responses(2, [11, 2, 5]) == {i: whole[i] for i in (11, 2, 5)}
