"""The loss of every method, computed in chunks, equals plain functions of the complete logits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from minillm.config import Config, MethodConfig, MiniLLMConfig, TokenLossConfig, TrainingConfig
from minillm.data.batches import PromptBatch, SequenceBatch
from minillm.data.encoding import Example
from minillm.evaluation.passes import DEFAULT_TERMS
from minillm.evaluation.scoring import language_model_loss, read_references
from minillm.methods import Method, build_method
from minillm.methods.build import plain_text_loss
from minillm.models.forward import response_terms
from minillm.objectives.distributions import log_softmax, token_log_probs
from minillm.objectives.minillm import losses
from minillm.sampling.sampler import Decoding, sample
from minillm.sources.source import TrainingBatch
from minillm.teachers import LocalTeacher
from minillm.training.setup import Setup
from tests.tiny import EOS, log_prob_table, response_logits, tiny_model

STUDENT, TEACHER = tiny_model(1), tiny_model(2, kind="llama")
PAIRS = [([1], [2, 0]), ([2, 3], [1, 3, 2, 0]), ([3, 1, 2], [0]), ([1, 1], [3, 3, 0])]
TRAIN = [Example("", (), "", prompt, [response]) for prompt, response in PAIRS]
BATCH = SequenceBatch.pad(PAIRS, EOS)
CHUNKS = pytest.mark.parametrize("chunk_size", [3, None])


def setup(method: MethodConfig, chunk_size: int | None = None) -> Setup:
    config = Config(method=method, training=TrainingConfig(chunk_size=chunk_size))
    teacher = LocalTeacher(TEACHER)
    return Setup(config, STUDENT, teacher, TRAIN, torch.device("cpu"), 0, 1, Path())


def build(method: MethodConfig, chunk_size: int | None = None) -> Method:
    return build_method(setup(method, chunk_size))


def distributions(batch: SequenceBatch) -> tuple[Tensor, Tensor]:
    log_p = log_softmax(response_logits(TEACHER, batch)).detach()
    return log_softmax(response_logits(STUDENT, batch)), log_p


def kl(log_a: Tensor, log_b: Tensor) -> Tensor:
    return (log_a.exp() * (log_a - log_b)).sum(-1)


def supervised(batch: SequenceBatch, kd_ratio: float) -> Tensor:
    log_q, log_p = distributions(batch)
    cross_entropy = -token_log_probs(log_q, batch.response_ids)
    values = (1 - kd_ratio) * cross_entropy + kd_ratio * kl(log_p, log_q)
    return (values * batch.response_mask).sum()


def assert_same(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-10, rtol=0)
    parameters = list(STUDENT.module.parameters())
    gradients = [torch.autograd.grad(value, parameters) for value in (actual, expected)]
    for actual_gradient, expected_gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(actual_gradient, expected_gradient, atol=1e-10, rtol=0)


@CHUNKS
@pytest.mark.parametrize("ratio", [0.0, 0.3])
def test_token_loss_of_the_data(ratio, chunk_size):
    loss = build(TokenLossConfig(kd_ratio=ratio), chunk_size).parts["tokens"].loss
    (part,) = loss.micro_batches(TrainingBatch(BATCH), None)
    value, metrics = loss(STUDENT.module, part)
    assert_same(value, supervised(BATCH, ratio))
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
    loss = plain_text_loss(setup(MiniLLMConfig(), chunk_size), ratio)
    value, metrics = loss(STUDENT.module, TrainingBatch(BATCH))
    assert_same(value, supervised(BATCH, ratio))
    assert metrics.keys() == {"loss/plain_text"}


@CHUNKS
@pytest.mark.parametrize("single_step", [True, False])
def test_minillm(single_step, chunk_size):
    part = build(MiniLLMConfig(single_step=single_step), chunk_size).parts["tokens"]
    prompts = PromptBatch.pad([example.prompt_ids for example in TRAIN], EOS)
    generator = torch.Generator().manual_seed(3)
    rollout = sample(
        STUDENT, prompts, Decoding(max_length=6), generator=generator, teacher=TEACHER, alpha=0.2
    )
    (batch,) = part.loss.micro_batches(part.source.batch(rollout, torch.arange(len(rollout))), None)
    sequences = batch.batch.sequences
    log_q, log_p = distributions(sequences)
    terms = token_log_probs(log_q, sequences.response_ids), kl(log_q, log_p)
    old = batch.old_log_probs, batch.weights, batch.advantages
    mask, parts = sequences.response_mask, losses(*terms, *old, settings=part.loss.settings)
    value, metrics = part.loss(STUDENT.module, batch)
    assert_same(value, (parts.total * mask).sum())
    expected = float((parts.reverse_kl * mask).sum().detach())
    assert float(metrics["policy/reverse_kl"][0]) == pytest.approx(expected)


def test_scores():
    log_q, log_p = distributions(BATCH)
    expected = (kl(log_q, log_p) * BATCH.response_mask).sum(-1)
    targets = LocalTeacher(TEACHER).score(BATCH).targets
    values = response_terms(STUDENT, BATCH, terms=DEFAULT_TERMS, targets=targets)["reverse_kl"]
    torch.testing.assert_close(values.sum(-1), expected)
    mean = float(supervised(BATCH, 0).detach()) / BATCH.tokens
    assert language_model_loss(STUDENT, TRAIN, batch_size=3) == pytest.approx(mean)
    references = read_references(STUDENT, TRAIN)
    assert -references.log_probs.sum() / references.lengths.sum() == pytest.approx(mean)
    assert references.label_log_probs is None
    words = ([1], [3, 2])
    labelled = [replace(example, label_ids=words, label=1) for example in TRAIN]
    expected = torch.stack([
        log_prob_table(STUDENT, SequenceBatch.pad([(prompt, word) for prompt, _ in PAIRS], EOS))
        .sum(-1)
        for word in words
    ], dim=1)  # fmt: skip
    read = read_references(STUDENT, labelled)
    assert read.label_log_probs == pytest.approx(expected.numpy())
    assert read.labels.tolist() == [1] * 4
    alone = [read_references(STUDENT, [example]) for example in TRAIN]
    assert references.log_probs == pytest.approx(np.concatenate([x.log_probs for x in alone]))
