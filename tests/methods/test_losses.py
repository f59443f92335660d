"""The loss of every method, through its chunked heads, is the plain functions' on whole logits."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from minillm.config import Config, KDConfig, MiniLLMConfig, SFTConfig, TrainingConfig
from minillm.data.batches import PromptBatch, SequenceBatch
from minillm.data.encoding import Example
from minillm.evaluation.scoring import exact_reverse_kl, language_model_loss
from minillm.methods import build_method
from minillm.methods.setup import Setup
from minillm.objectives.divergences import forward_kl, log_softmax, reverse_kl, token_log_probs
from minillm.objectives.minillm import losses
from minillm.sampling.sampler import Decoding, sample
from minillm.training.method import MicroBatch
from tests.tiny import EOS, response_logits, tiny_model

STUDENT, TEACHER = tiny_model(1), tiny_model(2, kind="llama")
PAIRS = [([1], [2, 0]), ([2, 3], [1, 3, 2, 0]), ([3, 1, 2], [0]), ([1, 1], [3, 3, 0])]
TRAIN = [Example("", (), "", prompt, [response]) for prompt, response in PAIRS]
BATCH = SequenceBatch.pad(PAIRS, EOS)
CHUNKS = pytest.mark.parametrize("chunk_size", [3, None])


def build(method, chunk_size=None):
    config = Config(method=method, training=TrainingConfig(chunk_size=chunk_size))
    return build_method(Setup(config, STUDENT, TEACHER, TRAIN, torch.device("cpu"), 0, 1, Path()))


def distributions(batch: SequenceBatch) -> tuple[Tensor, Tensor]:
    log_p = log_softmax(response_logits(TEACHER, batch)).detach()
    return log_softmax(response_logits(STUDENT, batch)), log_p


def supervised(batch: SequenceBatch, kd_ratio: float) -> Tensor:
    log_q, log_p = distributions(batch)
    cross_entropy = -token_log_probs(log_q, batch.response_ids)
    values = (1 - kd_ratio) * cross_entropy + kd_ratio * forward_kl(log_q, log_p)
    return (values * batch.response_mask).sum()


def assert_same(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-10, rtol=0)
    parameters = list(STUDENT.module.parameters())
    for one, other in zip(*(torch.autograd.grad(x, parameters) for x in (actual, expected)),
                          strict=True):  # fmt: skip
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)


@CHUNKS
@pytest.mark.parametrize(("config", "ratio"), [(SFTConfig(), 0.0), (KDConfig(kd_ratio=0.3), 0.3)])
def test_given_responses(config, ratio, chunk_size):
    method = build(config, chunk_size)
    loss, metrics = method.loss(STUDENT.module, MicroBatch(BATCH, {}), {"tokens": 7.0})
    assert_same(loss, supervised(BATCH, ratio) / 7)
    assert float(metrics["loss/cross_entropy"][0]) == pytest.approx(
        float(supervised(BATCH, 0).detach())
    )
    if ratio:
        assert float(metrics["loss/forward_kl"][0]) == pytest.approx(
            float(supervised(BATCH, 1).detach())
        )


@CHUNKS
@pytest.mark.parametrize("ratio", [0.0, 0.4])
def test_plain_text(ratio, chunk_size):
    method = build(MiniLLMConfig(lm_kd_ratio=ratio), chunk_size)
    method.method.lm_coef = 0.5  # once built, so that no file of text is asked for
    loss, _ = method.loss(STUDENT.module, MicroBatch(BATCH, {}), {"plain_tokens": 7.0})
    assert_same(loss, 0.5 * supervised(BATCH, ratio) / 7)


@CHUNKS
@pytest.mark.parametrize("single_step", [True, False])
def test_minillm(single_step, chunk_size):
    method = build(MiniLLMConfig(single_step=single_step), chunk_size)
    prompts = PromptBatch.pad([example.prompt_ids for example in TRAIN], EOS)
    generator = torch.Generator().manual_seed(3)
    rollout = sample(STUDENT, prompts, Decoding(max_length=6), generator, TEACHER, alpha=0.2)
    (micro_batch,) = method._micro_batches(rollout)
    batch = micro_batch.data
    log_q, log_p = distributions(batch.sequences)
    terms = token_log_probs(log_q, batch.sequences.response_ids), reverse_kl(log_q, log_p)
    old = batch.old_log_probs, batch.weights, batch.advantages
    mask, parts = batch.sequences.response_mask, losses(*terms, *old, method.settings)
    loss, metrics = method.loss(STUDENT.module, micro_batch, {"tokens": 7.0})
    assert_same(loss, (parts.total * mask).sum() / 7)
    expected = float((parts.reverse_kl * mask).sum().detach())
    assert float(metrics["policy/reverse_kl"][0]) == pytest.approx(expected)


def test_scores():
    log_q, log_p = distributions(BATCH)
    expected = (reverse_kl(log_q, log_p) * BATCH.response_mask).sum(-1)
    torch.testing.assert_close(exact_reverse_kl(STUDENT, TEACHER, BATCH), expected)
    mean = float(supervised(BATCH, 0).detach()) / BATCH.tokens
    assert language_model_loss(STUDENT, TRAIN, batch_size=3) == pytest.approx(mean)
