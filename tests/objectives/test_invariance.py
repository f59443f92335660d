"""What must not change loss or gradient: padding, the order of rows, micro-batches, ranks.

The method itself runs here (weights and advantages of a mini-batch, cut into forward passes, each
a share of the sums), with tiny GPT-2 models in float64. Ranks are threads that share one sum.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier, get_ident

import pytest
import torch
from torch import Tensor

import minillm.methods.minillm as method_module
from minillm.config import Config, MiniLLMConfig, TrainingConfig
from minillm.data.batches import PromptBatch, SequenceBatch
from minillm.data.encoding import Example
from minillm.methods.minillm import MiniLLM, PolicyBatch
from minillm.methods.setup import Setup
from minillm.sampling.rollout import Rollout
from minillm.sampling.sampler import Decoding, sample
from minillm.training.method import MicroBatch
from tests.tiny import EOS, tiny_model

STUDENT, TEACHER = tiny_model(1), tiny_model(2)
PROMPTS = [[1], [2, 3], [3, 1, 2, 1, 3, 2], [1, 1], [2], [3, 2, 1]] * 2
SETTINGS = {
    "paper": {},
    "official": {"variant": "official"},
    "product": {"importance_weights": "product", "length_normalization": False},
    "truncated": {"importance_weights": "truncated_product", "weight_bound": 1.1},
    "masked whitening": {"whitening": "masked", "gamma": 0.9},
}
EVERY_SETTING = pytest.mark.parametrize("changes", SETTINGS.values(), ids=SETTINGS)


@pytest.fixture(scope="module")
def rollout() -> Rollout:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    prompts = PromptBatch.pad(PROMPTS, EOS)
    found = sample(STUDENT, prompts, Decoding(max_length=6), generator, TEACHER, alpha=0.2)
    lengths = found.mask.sum(-1)
    assert lengths.min() == 1 and len(lengths.unique()) > 3, "no variety: pick another seed"
    return found


def build(changes: dict, micro_batch_size: int | None = None) -> MiniLLM:
    training = TrainingConfig(micro_batch_size=micro_batch_size)
    config = Config(method=MiniLLMConfig(**changes), training=training)
    train = [Example("", (), "", prompt, []) for prompt in PROMPTS]
    device = torch.device("cpu")
    return MiniLLM(Setup(config, STUDENT, TEACHER, train, device, 0, 1, Path()))


def total(method: MiniLLM, micro_batches: list[MicroBatch]) -> tuple[Tensor, Tensor]:
    """Loss and gradient of an optimiser step, by the loop's rule."""
    counts = {"tokens": float(sum(batch.counts["tokens"] for batch in micro_batches))}
    shares = [method.loss(STUDENT.module, batch, counts)[0] for batch in micro_batches]
    gradients = torch.autograd.grad(sum(shares), list(STUDENT.module.parameters()))
    return sum(shares).detach(), torch.cat([x.flatten() for x in gradients])


def step(rollout: Rollout, changes: dict, size: int | None = None) -> tuple[Tensor, Tensor]:
    method = build(changes, size)
    return total(method, method._micro_batches(rollout))


def assert_same(actual: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    assert expected[1].norm() > 0.01
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=0)


@EVERY_SETTING
@pytest.mark.parametrize("size", [1, 5])
def test_micro_batches(rollout, changes, size):
    """Of one row each, no row has padding on either side."""
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
    method = build(changes)
    (whole,) = method._micro_batches(rollout)
    batch, sequences = whole.data, whole.data.sequences
    wider = SequenceBatch(
        padded(sequences.prompt_ids, left=3, value=2),
        padded(sequences.prompt_mask, left=3),
        padded(sequences.response_ids, right=4, value=2),
        padded(sequences.response_mask, right=4),
    )
    others = ("teacher_hidden", "old_log_probs", "weights", "advantages")
    values = {name: padded(getattr(batch, name), right=4, value=1.5) for name in others}
    assert_same(
        total(method, [replace(whole, data=PolicyBatch(wider, **values))]), total(method, [whole])
    )


def with_padding(rollout: Rollout, columns: int) -> Rollout:
    """The same responses, as if one longer had been among them."""
    others = ("student_log_probs", "teacher_log_probs", "teacher_hidden", "mixture_log_probs")
    values = {name: padded(getattr(rollout, name), right=columns) for name in others}
    parts = rollout.sequences
    ids, mask = (padded(x, right=columns) for x in (parts.response_ids, parts.response_mask))
    return replace(
        rollout, sequences=replace(parts, response_ids=ids, response_mask=mask), **values
    )


@EVERY_SETTING
def test_padding_of_the_rollout(rollout, changes):
    if changes == SETTINGS["official"]:
        pytest.skip("counts padding by its nature: the next test says by how much")
    assert_same(step(with_padding(rollout, 5), changes), step(rollout, changes))


def test_how_much_padding_changes_the_official_whitening(rollout):
    """k zeros beside n values of mean m and variance v: mean n m / (n + k), and variance
    ((n - 1) v + m^2 n k / (n + k)) / (n + k - 1). One response twice as long as all of these, and
    their gradient is another by a sixth of its norm."""
    plain, changes = {"variant": "official", "whitening": "none"}, SETTINGS["official"]
    values = build(plain)._micro_batches(rollout)[0].data.advantages
    n, width = values.numel(), values.shape[1]
    m, v = values.mean(), values.var()
    for columns in (1, width):
        (wide,) = build(changes)._micro_batches(with_padding(rollout, columns))
        k = columns * len(rollout)
        mean = n * m / (n + k)
        variance = ((n - 1) * v + m**2 * n * k / (n + k)) / (n + k - 1)
        expected = (values - mean) * torch.rsqrt(variance + 1e-8)
        torch.testing.assert_close(wide.data.advantages[:, :width], expected)
    _, gradient = step(rollout, changes)
    _, wide_gradient = step(with_padding(rollout, width), changes)
    change = float((wide_gradient - gradient).norm() / gradient.norm())
    assert 0.15 < change < 0.2


class Ranks:
    """Stands in for minillm/processes.py among threads."""

    def __init__(self, world: int) -> None:
        self.world = world
        self.barrier = Barrier(world, timeout=20)
        self.values: dict[int, Tensor | int] = {}

    def total(self, values: Tensor) -> Tensor:
        return self.combine(values, sum)

    def longest(self, length: int, device: torch.device) -> int:
        return self.combine(length, max)

    def combine(self, value: Tensor | int, function: Callable) -> Tensor | int:
        self.values[get_ident()] = value
        self.barrier.wait()
        result = function(self.values.values())
        self.barrier.wait()
        return result

    def map(self, function: Callable, items: list) -> list:
        with ThreadPoolExecutor(self.world) as pool:
            return list(pool.map(function, items))


@EVERY_SETTING
@pytest.mark.parametrize("world", [2, 3])
def test_ranks(rollout, changes, world, monkeypatch):
    """Each rank holds rows of its own, cut to its own longest."""
    ranks = Ranks(world)
    expected = step(rollout, changes)
    rows = [torch.arange(rank, len(rollout), world) for rank in range(world)]
    parts = [rollout.select(x) for x in rows]
    for name in ("total", "longest"):
        monkeypatch.setattr(method_module, name, getattr(ranks, name))
    method = build(changes)
    batches = [batch for (batch,) in ranks.map(method._micro_batches, parts)]
    assert_same(total(method, batches), expected)
