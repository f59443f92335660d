"""Padding, the order of rows, micro-batches and ranks do not change the loss and the gradient.

The tests run the method (weights and advantages of a mini-batch, and the losses of its
micro-batches) with tiny GPT-2 models in float64. Ranks are threads that exchange values.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier, get_ident
from typing import Any

import pytest
import torch
from torch import Tensor

import minillm.methods.policy_gradient as loss_module
from minillm.config import Config, MiniLLMConfig, TrainingConfig
from minillm.data.batches import PromptBatch, SequenceBatch
from minillm.data.encoding import Example
from minillm.methods import build_method
from minillm.methods.method import Part
from minillm.methods.policy_gradient import PolicyBatch
from minillm.objectives.targets import HeadTargets
from minillm.sampling.rollout import Rollout
from minillm.sampling.sampler import Decoding, sample
from minillm.sources.source import TrainingBatch
from minillm.teachers import LocalTeacher
from minillm.training.setup import Setup
from tests.tiny import EOS, tiny_model

STUDENT, TEACHER = tiny_model(1), tiny_model(2)
PROMPTS = [[1], [2, 3], [3, 1, 2, 1, 3, 2], [1, 1], [2], [3, 2, 1]] * 2
SETTINGS = {
    "paper": {},
    "official": {"variant": "official"},
    "product": {"importance_weights": "product", "length_normalization": False},
    "truncated": {"importance_weights": "truncated_product", "weight_bound": 1.1},
    "masked whitening": {"whitening": "masked", "gamma": 0.9},
    "average reward": {"variant": "average_reward"},
    "centred by position": {"reward_center": "position", "baseline": "position"},
}
EVERY_SETTING = pytest.mark.parametrize("changes", SETTINGS.values(), ids=SETTINGS)


@pytest.fixture(scope="module")
def rollout() -> Rollout:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    prompts = PromptBatch.pad(PROMPTS, EOS)
    rollout = sample(
        STUDENT,
        prompts,
        Decoding(max_length=6),
        generator=generator,
        teacher=TEACHER,
        alpha=0.2,
        computes_reverse_kl=True,
    )
    lengths = rollout.mask.sum(-1)
    assert lengths.min() == 1 and len(lengths.unique()) > 3, "no variety: pick another seed"
    return rollout


def build(changes: dict) -> Part:
    config = Config(method=MiniLLMConfig(**changes), training=TrainingConfig())
    train = [Example("", (), "", prompt, []) for prompt in PROMPTS]
    device, teacher = torch.device("cpu"), LocalTeacher(TEACHER)
    method = build_method(Setup(config, STUDENT, teacher, train, device, 0, 1, Path()))
    return method.parts["tokens"]


def cut(part: Part, rollout: Rollout, size: int | None = None) -> list[PolicyBatch]:
    """The forward passes of a mini-batch."""
    rows = torch.arange(len(rollout))
    return part.loss.micro_batches(part.source.batch(rollout, rows), size)


def total(part: Part, batches: list[PolicyBatch]) -> tuple[Tensor, Tensor]:
    """Loss and gradient of an optimiser step, by the loop's rule."""
    count = sum(part.loss.tokens(batch) for batch in batches)
    shares = [part.loss(STUDENT.module, batch)[0] / count for batch in batches]
    gradients = torch.autograd.grad(sum(shares), list(STUDENT.module.parameters()))
    return sum(shares).detach(), torch.cat([x.flatten() for x in gradients])


def step(rollout: Rollout, changes: dict, size: int | None = None) -> tuple[Tensor, Tensor]:
    part = build(changes)
    return total(part, cut(part, rollout, size))


def assert_same(actual: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    assert expected[1].norm() > 0.01
    for actual_tensor, expected_tensor in zip(actual, expected, strict=True):
        torch.testing.assert_close(actual_tensor, expected_tensor, atol=1e-9, rtol=0)


@EVERY_SETTING
@pytest.mark.parametrize("size", [1, 5])
def test_micro_batches(rollout, changes, size):
    """Micro-batches of one row have no padding."""
    assert_same(step(rollout, changes, size), step(rollout, changes))


@EVERY_SETTING
def test_the_order_of_rows(rollout, changes):
    order = torch.randperm(len(rollout), generator=torch.Generator().manual_seed(0))
    assert_same(step(rollout.select(order), changes), step(rollout, changes))


def padded(x: Tensor, left: int = 0, right: int = 0, value: float = 0) -> Tensor:
    sides = [torch.full((len(x), n, *x.shape[2:]), value, dtype=x.dtype) for n in (left, right)]
    return torch.cat([sides[0], x, sides[1]], dim=1)


@EVERY_SETTING
def test_padding_of_the_forward_pass(rollout, changes):
    """Other ids, and values that would show, on both sides."""
    part = build(changes)
    (whole,) = cut(part, rollout)
    sequences, targets = whole.batch.sequences, whole.batch.targets
    wider = SequenceBatch(
        padded(sequences.prompt_ids, left=3, value=2),
        padded(sequences.prompt_mask, left=3),
        padded(sequences.response_ids, right=4, value=2),
        padded(sequences.response_mask, right=4),
    )
    hidden = targets.hidden.unflatten(0, sequences.response_ids.shape)
    wider_targets = HeadTargets(padded(hidden, right=4, value=1.5), targets.head)
    names = ("old_log_probs", "weights", "advantages")
    values = {name: padded(getattr(whole, name), right=4, value=1.5) for name in names}
    batch = PolicyBatch(TrainingBatch(wider, targets=wider_targets), **values)
    assert_same(total(part, [batch]), total(part, [whole]))


def with_padding(rollout: Rollout, columns: int) -> Rollout:
    """The same responses with more padding on the right."""
    names = ("student_log_probs", "teacher_log_probs", "teacher_hidden", "mixture_log_probs",
             "reverse_kl")  # fmt: skip
    values = {name: padded(getattr(rollout, name), right=columns) for name in names}
    sequences = rollout.sequences
    ids = padded(sequences.response_ids, right=columns)
    mask = padded(sequences.response_mask, right=columns)
    return replace(
        rollout, sequences=replace(sequences, response_ids=ids, response_mask=mask), **values
    )


@EVERY_SETTING
def test_padding_of_the_rollout(rollout, changes):
    assert_same(step(with_padding(rollout, 5), changes), step(rollout, changes))


def test_how_much_padding_changes_the_official_whitening(rollout, monkeypatch):
    """n values of mean m and variance v, together with k zeros, have the mean n m / (n + k) and the
    variance ((n - 1) v + m^2 n k / (n + k)) / (n + k - 1). If one response of another process is
    twice as long as all others, the gradient changes by a sixth of its norm."""
    plain, changes = {"variant": "official", "whitening": "none"}, SETTINGS["official"]
    values = cut(build(plain), rollout)[0].advantages
    n, width = values.numel(), values.shape[1]
    m, v = values.mean(), values.var()
    _, gradient = step(rollout, changes)
    for columns in (1, width):
        monkeypatch.setattr(loss_module, "highest", lambda *_, n=columns: width + n)
        (wide,) = cut(build(changes), rollout)
        k = columns * len(rollout)
        mean = n * m / (n + k)
        variance = ((n - 1) * v + m**2 * n * k / (n + k)) / (n + k - 1)
        expected = (values - mean) * torch.rsqrt(variance + 1e-8)
        torch.testing.assert_close(wide.advantages, expected)
    _, wide_gradient = step(rollout, changes)
    change = float((wide_gradient - gradient).norm() / gradient.norm())
    assert 0.15 < change < 0.2


class Ranks:
    """Exchanges values among threads, in place of communication among processes."""

    def __init__(self, world: int) -> None:
        self.world = world
        self.barrier = Barrier(world, timeout=20)
        self.values: dict[int, Any] = {}

    def all(self, value: Any) -> list[Any]:
        """Returns the values of all ranks, on every rank."""
        self.values[get_ident()] = value
        self.barrier.wait()
        result = list(self.values.values())
        self.barrier.wait()
        return result

    def map(self, function: Callable, items: list) -> list:
        with ThreadPoolExecutor(self.world) as pool:
            return list(pool.map(function, items))


@EVERY_SETTING
@pytest.mark.parametrize("world", [2, 3])
def test_ranks(rollout, changes, world, monkeypatch):
    """Each rank has different rows, without columns that are padding in all rows of the rank."""
    ranks = Ranks(world)
    expected = step(rollout, changes)
    parts = [rollout.select(torch.arange(rank, len(rollout), world)) for rank in range(world)]
    monkeypatch.setattr(loss_module, "total", lambda values: sum(ranks.all(values)))
    monkeypatch.setattr(loss_module, "highest", lambda length, _: max(ranks.all(length)))
    part = build(changes)
    batches = [batch for (batch,) in ranks.map(lambda rows: cut(part, rows), parts)]
    assert_same(total(part, batches), expected)
