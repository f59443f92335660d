"""The presets are one method with different parts. Equivalent presets have equal gradients."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from minillm.config import (
    Config,
    DataConfig,
    MethodConfig,
    MiniLLMConfig,
    TokenLossConfig,
    TrainingConfig,
)
from minillm.data.encoding import Example
from minillm.methods import Method, build_method
from minillm.teachers import LocalTeacher
from minillm.training.setup import Setup
from tests.tiny import tiny_model

PROMPTS = [[1], [2, 3], [3, 1, 2, 1], [1, 1], [2], [3, 2, 1], [2, 1], [1, 3]]
TRAIN = [Example("", (), "", prompt, [[2, 0]]) for prompt in PROMPTS]
STEPS, BATCH = 5, 4


class SeedOfOnePurpose(Setup):
    """All purposes have the same seed, so that different sources draw the same prompts."""

    def seed(self, purpose: str) -> int:
        return 7


def build(settings: MethodConfig, micro_batch_size: int | None = None, **changes) -> Method:
    training = TrainingConfig(steps=STEPS, batch_size=BATCH, micro_batch_size=micro_batch_size)
    config = Config(method=settings, data=DataConfig(max_response_length=6), training=training)
    teacher = LocalTeacher(tiny_model(2))
    setup = Setup(config, tiny_model(1), teacher, TRAIN, torch.device("cpu"), 0, 1, Path())
    return build_method(SeedOfOnePurpose(**vars(replace(setup, **changes))))


def train(method: Method) -> tuple[list[Tensor], list[list[int]], dict]:
    """The gradient of each step, the responses of the first step, and the metrics of the last."""
    module = method.student.module
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    gradients, responses = [], None
    for batch in islice(method.batches(), STEPS):
        (micro_batch,) = batch.micro_batches
        loss, metrics = method.loss(module, micro_batch, {"tokens": micro_batch.count})
        loss.backward()
        gradients.append(torch.cat([x.grad.flatten().clone() for x in module.parameters()]))
        optimizer.step()
        optimizer.zero_grad()
        data = getattr(micro_batch.data, "batch", micro_batch.data)
        responses = responses or sorted(data.sequences.response_ids.tolist())
    return gradients, responses, metrics | batch.metrics


def assert_same(actual: list[Tensor], expected: list[Tensor], tolerance: float = 1e-6) -> None:
    assert min(gradient.norm() for gradient in actual) > 0.01
    for gradient, expected_gradient in zip(actual, expected, strict=True):
        torch.testing.assert_close(gradient, expected_gradient, atol=tolerance, rtol=0)


def test_gkd_on_responses_of_the_data_is_kd():
    gkd = TokenLossConfig(student_share=0.0, kd_ratio=1.0, divergence="forward_kl")
    assert_same(train(build(gkd))[0], train(build(TokenLossConfig(kd_ratio=1.0)))[0], 1e-12)


def test_gkd_on_responses_of_the_student_with_the_reverse_kl_is_minillm_with_gamma_0():
    """Prompts and rollouts are the same. With gamma = 0, MiniLLM has only the single-step term."""
    gkd = TokenLossConfig(student_share=1.0, kd_ratio=1.0, divergence="reverse_kl")
    minillm = MiniLLMConfig(alpha=0.0, gamma=0.0, inner_epochs=1, rollouts_per_collection=BATCH)
    gradients, responses, metrics = train(build(gkd))
    expected, expected_responses, _ = train(build(minillm))
    assert responses == expected_responses != [[2, 0]] * BATCH
    assert metrics["rollout/student_share"] == (BATCH, BATCH)
    assert_same(gradients, expected)


def test_the_teacher_reads_each_sequence_once():
    method = build(TokenLossConfig(student_share=0.5, kd_ratio=1.0), micro_batch_size=2)
    rows = []
    module = method.teacher.sampler.module
    module.register_forward_pre_hook(
        lambda _, __, inputs: rows.append(len(inputs["input_ids"])), with_kwargs=True
    )
    for batch in islice(method.batches(), 3):
        for micro_batch in batch.micro_batches:
            method.loss(method.student.module, micro_batch, {"tokens": 1})
    assert rows == [2] * 2 * 3


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_the_share_of_student_written_responses(share):
    source = build(TokenLossConfig(student_share=share, kd_ratio=1.0)).parts["tokens"].source
    steps = [step.metrics["rollout/student_share"] for step in islice(source, 100)]
    written = sum(count for count, _ in steps) / sum(count for _, count in steps)
    assert written == pytest.approx(share, abs=0.05 if share < 1 else 0)


def test_the_share_of_imitkd_changes_linearly():
    settings = TokenLossConfig(student_share=0.0, student_share_end=1.0, kd_ratio=1.0)
    source = build(settings).parts["tokens"].source
    shares = [source.share for _ in islice(source, STEPS + 2)]
    assert shares == [0, 0.25, 0.5, 0.75, 1, 1, 1]


def test_two_processes_write_the_responses_of_one():
    settings = TokenLossConfig(student_share=0.5, kd_ratio=1.0)

    def responses(rank: int, world: int) -> list[list[int]]:
        source = build(settings, rank=rank, world=world).parts["tokens"].source
        rows = []
        for step in islice(source, 3):
            batch = step.batch.sequences
            pairs = zip(batch.response_ids, batch.response_mask.bool(), strict=True)
            rows.append([ids[mask].tolist() for ids, mask in pairs])
        return rows

    one_process, first, second = responses(0, 1), responses(0, 2), responses(1, 2)
    for rows, even_rows, odd_rows in zip(one_process, first, second, strict=True):
        assert rows[::2] == even_rows and rows[1::2] == odd_rows


def test_replayed_responses_replace_new_responses():
    settings = TokenLossConfig(student_share=1.0, kd_ratio=1.0, replay_size=6, replay_share=0.5)
    source = build(settings).parts["tokens"].source
    new_responses = 0
    for step in islice(source, 50):
        new_responses += step.metrics["rollout/length"][1]
        assert len(source.replay) <= 6
    assert 0.4 < new_responses / (50 * BATCH) < 0.6
    state = source.state_dict()
    restored = build(settings).parts["tokens"].source
    restored.load_state_dict(state)
    assert list(restored.replay) == list(source.replay)
    assert next(iter(restored)).batch.sequences.response_ids.equal(
        next(iter(source)).batch.sequences.response_ids
    )


@pytest.mark.parametrize(
    "settings",
    [
        TokenLossConfig(student_share=1.0, kd_ratio=1.0),
        MiniLLMConfig(alpha=0.5, rollouts_per_collection=BATCH),
    ],
)
def test_responses_are_sampled_without_dropout(settings):
    method = build(settings)
    modes = []
    module = method.student.module
    module.base_model.register_forward_pre_hook(lambda *_: modes.append(module.training))
    module.train()
    next(method.batches())
    assert modes and not any(modes)
