"""Compares the sampler with enumeration and with full forward passes."""

from collections import Counter
from itertools import product

import pytest
import torch

from minillm.data.batches import PromptBatch
from minillm.models import cache
from minillm.models.heads import output_head
from minillm.objectives.distributions import kl
from minillm.sampling import lazy, sampler
from minillm.sampling.generate import generate
from minillm.sampling.sampler import Decoding, mix, sample
from tests.tiny import EOS, all_responses, chi_square_p, log_prob_table, response_logits, tiny_model

PROMPTS = [[1, 2, 3, 1], [3], [2, 2], [1, 3, 2]]  # different lengths, so that padding is needed


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rollout(alpha: float, kind: str = "gpt2", length: int = 12, **decoding):
    student, teacher = tiny_model(1, kind=kind), tiny_model(2, kind=kind)
    prompts = PromptBatch.pad(PROMPTS * 8, EOS)
    result = sample(
        student, prompts, Decoding(length, **decoding), generator=generator(), teacher=teacher,
        alpha=alpha, computes_reverse_kl=True,
    )  # fmt: skip
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
def test_the_hidden_states_of_the_teacher_give_its_logits(alpha):
    result, _, teacher = rollout(alpha)
    rebuilt = output_head(teacher).logits(result.teacher_hidden)
    expected = response_logits(teacher, result.sequences)
    real_tokens = result.mask.bool()
    torch.testing.assert_close(rebuilt[real_tokens], expected[real_tokens], atol=1e-10, rtol=0)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_the_reverse_kl_is_that_of_full_forward_passes(alpha):
    result, student, teacher = rollout(alpha)
    logits = (response_logits(model, result.sequences) for model in (student, teacher))
    expected = kl(*(x.log_softmax(-1) for x in logits)) * result.mask
    assert expected.max() > 0.1
    torch.testing.assert_close(result.reverse_kl, expected, atol=1e-10, rtol=0)


def test_the_teacher_is_called_at_heads_and_once_at_the_end(monkeypatch):
    monkeypatch.setattr(lazy, "SMALLEST_GROUP", 32)  # one pass reads all prompts
    coins = iter([False, True, False, False, True, False])
    with monkeypatch.context() as patch:
        patch.setattr(sampler, "flip", lambda *_: [next(coins, False)])
        result, _, _ = rollout(0.2, length=6)
    assert (result.steps, result.teacher_calls) == (6, 3)
    assert result.student_calls == 4  # at tails only; the pass at the last tails reads all tokens
    assert rollout(0.0)[0].teacher_calls == 1
    assert rollout(1.0)[0].student_calls == 1


def test_drawn_sequences_follow_the_models_that_the_coins_select(monkeypatch):
    """Tests every pattern of coins. Their sum with weights alpha^heads (1-alpha)^tails is p~."""
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
        drawn = sample(
            student, prompts, Decoding(length), generator=generator(3), teacher=teacher, alpha=0.3
        )
        counts = Counter(map(tuple, drawn.sequences.response_ids.tolist()))
        observed = torch.tensor([counts[name] for name in names], dtype=torch.float64)
        assert observed.sum() == rows  # no other sequence is drawn
        assert chi_square_p(observed, expected) > 1e-3
    torch.testing.assert_close(mixture, mix(p, q, 0.3).sum(-1).exp(), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("coin_group", "decoding"), [(1, Decoding(3, 0.7, top_k=3, top_p=0.95)), (2, Decoding(3))]
)
def test_two_hundred_thousand_responses_follow_the_mixture(coin_group, decoding, monkeypatch):
    """Case 1: a coin per row; rows leave and join. Case 2: a coin per pair; no row leaves early."""
    if coin_group > 1:
        monkeypatch.setattr(sampler, "ENDED_SHARE", 1)
    monkeypatch.setattr(cache, "ROOM", 4)
    student, teacher, count = tiny_model(1), tiny_model(2), 200_000
    prompts = PromptBatch.pad([[1, 2]] * count, EOS)
    drawn = sample(
        student, prompts, decoding, generator=generator(5), teacher=teacher, alpha=0.4,
        coin_group=coin_group, batch_size=20_000,
    )  # fmt: skip
    responses = all_responses([1, 2], 4, 3)
    with torch.no_grad():
        logits = [response_logits(m, responses).log_softmax(-1)
                  for m in (student, teacher)]  # fmt: skip
    table = mix(logits[1], decoding.log_probs(logits[0]), 0.4)
    table = table.gather(-1, responses.response_ids[..., None])[..., 0]
    expected = table.masked_fill(responses.response_mask == 0, 0.0).sum(-1).exp()
    digits = torch.tensor([16, 4, 1])
    numbers = (responses.response_ids * digits).sum(-1)  # EOS and padding are both the digit 0
    observed = (drawn.sequences.response_ids * digits).sum(-1)
    for offset in range(coin_group):  # one row of each pair, because these rows are independent
        counts = observed[offset::coin_group].bincount(minlength=64)[numbers]
        assert chi_square_p(counts.double(), expected) > 1e-3
        assert counts.sum() == count // coin_group  # no other response is drawn


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


def test_temperature_and_truncation_change_only_the_students_part_of_the_mixture():
    result, student, teacher = rollout(0.5, temperature=0.7, top_k=2)
    q, p = log_prob_table(student, result.sequences), log_prob_table(teacher, result.sequences)
    torch.testing.assert_close(result.student_log_probs, q, atol=1e-10, rtol=0)  # temperature 1
    student_part = (result.mixture_log_probs.exp() - 0.5 * p.exp()) / 0.5
    student_part = student_part[result.mask.bool()]
    # top_k keeps two of four tokens, so the student's part is 0 for many tokens of the teacher.
    assert (student_part.abs() < 1e-9).any()
    assert (student_part < 1 + 1e-9).all()
    warped = Decoding(1, temperature=0.7, top_k=2).log_probs(torch.tensor([[0.5, 0.3, 0.15, 0.05]])
                                                             .double().log())  # fmt: skip
    powers = torch.tensor([0.5, 0.3]).double() ** (1 / 0.7)
    torch.testing.assert_close(warped.exp()[0, :2], powers / powers.sum())
    assert (warped.exp()[0, 2:] == 0).all()


def test_greedy_decoding_takes_the_most_likely_token():
    student = tiny_model(1)
    prompts = PromptBatch.pad(PROMPTS, EOS)
    result = sample(student, prompts, Decoding(6, temperature=0), generator=generator())
    best = log_prob_table(student, result.sequences)
    for token in range(4):
        changed_ids = result.sequences.response_ids.clone()
        changed_ids[:, 0] = token
        changed = result.sequences.__class__(
            prompts.ids, prompts.mask, changed_ids, result.sequences.response_mask
        )
        assert (log_prob_table(student, changed)[:, 0] <= best[:, 0] + 1e-12).all()


def test_a_response_does_not_depend_on_the_batch_size_or_on_other_prompts():
    student = tiny_model(1)
    prompts = PROMPTS * 4

    def responses(batch_size: int, indices: list[int] | None = None) -> dict[int, list[int]]:
        by_index = {}
        batches = generate(
            student, prompts, Decoding(6), batch_size=batch_size, seed=5, indices=indices
        )
        for batch_indices, drawn in batches:
            ids, masks = drawn.sequences.response_ids, drawn.mask.bool()
            for index, row, mask in zip(batch_indices, ids, masks, strict=True):
                by_index[index] = row[mask].tolist()
        return by_index

    one_batch = responses(16)
    assert sorted(one_batch) == list(range(16))
    assert len({tuple(one_batch[i]) for i in range(3, 16, 4)}) > 1, "all responses are equal"
    assert responses(1) == responses(3) == one_batch
    assert responses(2, [11, 2, 5]) == {i: one_batch[i] for i in (11, 2, 5)}


def test_prompts_of_later_batches_replace_rows_that_have_ended():
    student = tiny_model(1)
    batches = list(generate(student, PROMPTS * 16, Decoding(24), batch_size=8, seed=5))
    assert [len(drawn) for _, drawn in batches] == [8] * 8
    assert len({drawn.steps for _, drawn in batches}) == 1  # of all batches together
    longest = [drawn.sequences.response_ids.shape[1] for _, drawn in batches]
    assert batches[0][1].steps < 0.6 * sum(longest)
