"""Rows that leave and join the caches do not change the log-probabilities, for every family."""

import pytest
import torch
from transformers import MambaConfig

from minillm.data.batches import PromptBatch
from minillm.errors import InputError
from minillm.models.cache import growing_cache
from minillm.models.heads import output_head
from minillm.models.reader import CachedReader
from minillm.objectives import chunked
from minillm.sampling import lazy, sampler
from minillm.sampling.sampler import Decoding, sample
from tests.tiny import EOS, log_prob_table, response_logits, tiny_model

FAMILIES = ["gpt2", "opt", "llama", "qwen2", "qwen3", "gptj", "gpt_neo", "mistral"]
PROMPTS = [[1 + (i * j) % 3 for j in range(1 + 7 * i % 6)] for i in range(40)]


def rollout(kind="gpt2", dtype=torch.float64, **options):
    student, teacher = (tiny_model(seed, kind=kind) for seed in (1, 2))
    for model in (student, teacher):
        model.module.to(dtype)
    prompts = PromptBatch.pad(PROMPTS, EOS)
    options = {"alpha": 0.3, "batch_size": 8} | options
    decoding = Decoding(options.pop("max_length", 12))
    generator = torch.Generator().manual_seed(3)
    result = sample(student, prompts, decoding, generator=generator, teacher=teacher, **options)
    return result, student, teacher


def check(result, student, teacher, tolerance):
    for model, log_probs in ((student, result.student_log_probs),
                             (teacher, result.teacher_log_probs)):  # fmt: skip
        expected = log_prob_table(model, result.sequences)
        torch.testing.assert_close(log_probs, expected, atol=tolerance, rtol=0)
    rebuilt = output_head(teacher).logits(result.teacher_hidden)
    expected = response_logits(teacher, result.sequences)
    real_tokens = result.mask.bool()
    torch.testing.assert_close(
        rebuilt[real_tokens], expected[real_tokens], atol=10 * tolerance, rtol=0
    )
    lengths = result.mask.sum(-1)
    assert lengths.min() < 3 < lengths.max(), "the test needs responses of different lengths"


@pytest.mark.parametrize("kind", FAMILIES)
def test_refilled_batches_agree_with_full_forward_passes(kind):
    # GPT-J and GPT-Neo compute attention in float32, whatever the type of their weights.
    check(*rollout(kind), 1e-5 if kind in ("gptj", "gpt_neo") else 1e-10)


def test_in_float32():
    check(*rollout(dtype=torch.float32), 1e-4)


@pytest.mark.parametrize(
    ("alpha", "coin_group", "batch_size"),
    [(0.0, None, None), (0.0, None, 7), (0.02, None, 1), (0.1, 3, 7), (0.3, 1, None),
     (1.0, None, None), (1.0, None, 7)],
)  # fmt: skip
def test_every_schedule(alpha, coin_group, batch_size, monkeypatch):
    monkeypatch.setattr(chunked, "CPU_BUDGET", 100)  # so that logits are computed in chunks
    monkeypatch.setattr(lazy, "SMALLEST_GROUP", 2)  # so that several passes read the prompts
    check(*rollout(alpha=alpha, coin_group=coin_group, batch_size=batch_size), 1e-10)


def test_each_model_reads_each_token_once_and_none_after_the_end(monkeypatch):
    calls = []

    def counted(self, ids, mask, original=lazy.CachedReader.read):
        calls.append((self.model, len(ids), int(mask.sum())))
        return original(self, ids, mask)

    monkeypatch.setattr(lazy.CachedReader, "read", counted)
    result, student, teacher = rollout(batch_size=8)
    # The last token of a response predicts nothing, so it is not read.
    tokens = sum(map(len, PROMPTS)) + result.sequences.tokens - len(PROMPTS)
    for model in (student, teacher):
        model_calls = [(rows, count) for caller, rows, count in calls if caller is model]
        assert sum(count for _, count in model_calls) == tokens
        assert max(rows for rows, _ in model_calls) <= 12  # 8, and ended rows with unread tokens
    assert len(calls) == result.student_calls + result.teacher_calls


@pytest.mark.parametrize("alpha", [0.0, 0.2])
def test_prompts_of_different_lengths_are_read_with_little_padding(alpha, monkeypatch):
    masks = []

    def read(self, ids, mask, original=lazy.CachedReader.read):
        if self.mask is None:  # the first pass of this reader, over prompts
            masks.append(mask)
        return original(self, ids, mask)

    monkeypatch.setattr(lazy.CachedReader, "read", read)
    monkeypatch.setattr(lazy, "SMALLEST_GROUP", 4)
    result, student, teacher = rollout(alpha=alpha, batch_size=None)
    check(result, student, teacher, 1e-10)
    real, read = (sum(map(count, masks)) for count in (torch.sum, torch.numel))
    assert real > 0.75 * read  # 0.58 in one pass


def test_a_model_with_a_fixed_number_of_columns_is_refilled_between_batches():
    """GPT-Neo's 32 columns hold a prompt of 6 and a response of 20, but no second response."""
    result, student, _ = rollout("gpt_neo", max_length=20)
    expected = log_prob_table(student, result.sequences)
    torch.testing.assert_close(result.student_log_probs, expected, atol=1e-5, rtol=0)


def test_the_same_seed_gives_bitwise_equal_rollouts():
    first, second = rollout()[0], rollout()[0]
    assert torch.equal(first.sequences.response_ids, second.sequences.response_ids)
    assert torch.equal(first.teacher_log_probs, second.teacher_log_probs)


@pytest.mark.parametrize("batch_size", [None, 16])
def test_the_teacher_is_called_at_heads_at_the_end_and_for_joining_prompts(batch_size, monkeypatch):
    coins = []

    def flip(*arguments, original=sampler.flip):
        coins.append(original(*arguments))
        return coins[-1]

    monkeypatch.setattr(sampler, "flip", flip)
    monkeypatch.setattr(lazy, "SMALLEST_GROUP", len(PROMPTS))
    result, _, _ = rollout(alpha=0.2, batch_size=batch_size)
    heads = sum(map(sum, coins))
    assert result.steps == len(coins)
    assert heads > 1
    # The pass at the first heads is a prompt pass, which makes up for the pass at the end.
    assert result.teacher_calls - result.teacher_prompt_calls <= heads
    assert result.teacher_prompt_calls <= (1 if batch_size is None else heads + 1)


def test_models_whose_cache_cannot_mask_padding_are_refused():
    with pytest.raises(InputError, match="'mamba' cannot be sampled from"):
        growing_cache(MambaConfig(num_hidden_layers=1))


@pytest.mark.parametrize("name", ["past_key_values", "cache"])
def test_the_cache_is_given_by_the_name_in_the_signature(name, monkeypatch):
    """Models of transformers before 5.24 and from 5.24 on, with any installed version."""
    model = tiny_model(1)
    body = type(model.module.base_model)
    forward, installed_name = body.forward, CachedReader(model).cache_argument
    ids = torch.tensor([[1, 2, 3, 1]])
    expected = CachedReader(model).read(ids, torch.ones_like(ids, dtype=torch.bool))

    def old_forward(self, past_key_values, position_ids, **others):
        return forward(
            self, position_ids=position_ids, **others, **{installed_name: past_key_values}
        )

    def new_forward(self, cache, position_ids, **others):
        return forward(self, position_ids=position_ids, **others, **{installed_name: cache})

    replacement = old_forward if name == "past_key_values" else new_forward
    monkeypatch.setattr(body, "forward", replacement)
    reader = CachedReader(model)
    states = [
        reader.read(part, torch.ones_like(part, dtype=torch.bool)) for part in ids.split(2, dim=1)
    ]
    torch.testing.assert_close(torch.cat(states, dim=1), expected)
