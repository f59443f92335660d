"""Passes without memory count the bytes of the same passes with memory."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from minillm.compat.fake_tensors import Allocations
from minillm.config import Config, MethodConfig, MiniLLMConfig, TokenLossConfig, TrainingConfig
from minillm.data.encoding import Example
from minillm.methods.build import build_losses
from minillm.models.forward import response_hidden
from minillm.models.reader import CachedReader
from minillm.models.recomputation import recomputing
from minillm.planning.passes import STUDENT, TEACHER, BatchShape, Passes, loss_bytes
from minillm.sources.source import TrainingBatch
from minillm.teachers import AveragedTeacher, EnsembleTeacher, LocalTeacher
from minillm.training.setup import Setup
from tests.models import stock_models

METHODS = {
    "sft": TokenLossConfig(),
    "kd": TokenLossConfig(kd_ratio=0.5),
    "hidden_states": TokenLossConfig(kd_ratio=0.5, layers=[[1, -1]]),
    "minillm": MiniLLMConfig(),
}
CASES = [("gpt2", "kd"), ("opt", "sft"), ("gemma2", "minillm"), ("qwen3", "hidden_states")]


class Padded(BatchShape):
    """A batch whose first row is one token shorter on both sides."""

    def batch(self, device: torch.device) -> TrainingBatch:
        batch = super().batch(device)
        sequences = batch.sequences
        first, last = torch.arange(self.prompt), torch.arange(self.response)
        row = torch.arange(self.rows)[:, None]
        prompt_mask = ((row > 0) | (first > 0)).long()
        response_mask = ((row > 0) | (last < self.response - 1)).long()
        return replace(
            batch,
            sequences=replace(sequences, prompt_mask=prompt_mask, response_mask=response_mask),
        )


def setup(
    kind: str, method: MethodConfig, device: str, dtype: torch.dtype = torch.float32
) -> Setup:
    """A student of a family and a teacher of another family."""
    models = [stock_models.build(kind, 1, torch.float32), stock_models.build("llama", 2, dtype)]
    models = [replace(model, module=model.module.to(device)) for model in models]
    models[1].module.requires_grad_(False)
    config = Config(method=method, training=TrainingConfig(chunk_size=16))
    train = [Example("", (), "", [3], [[4]])]
    return Setup(
        config, models[0], LocalTeacher(models[1]), train, torch.device("cpu"), 0, 1, Path()
    )


def counted_with_memory(real: Setup, shape: BatchShape) -> int:
    (loss,) = build_losses(real).values()
    for weight in nn.ModuleList([real.student.module, *loss.modules().values()]).parameters():
        weight.grad = torch.zeros_like(weight)
    return loss_bytes(real, loss, shape)


def planned(kind: str, method: str, **changes) -> Passes:
    return Passes(replace(setup(kind, METHODS[method], "meta"), **changes), on_gpu=False)


@pytest.mark.parametrize(("kind", "method"), CASES)
def test_a_training_pass(kind, method):
    shape = 6, 10, 14
    real = counted_with_memory(setup(kind, METHODS[method], "cpu"), Padded(*shape))
    # The padded row has fewer tokens than those of the longest batch.
    assert planned(kind, method).training(BatchShape(*shape)) == pytest.approx(real, rel=0.04)


@pytest.mark.parametrize("autocast", [None, torch.bfloat16])
def test_a_pass_that_reads_prompts_and_the_cache(autocast):
    real, meta = (
        replace(setup("qwen3", METHODS["minillm"], device).student, autocast=autocast)
        for device in ("cpu", "meta")
    )
    mask = torch.ones(6, 10, dtype=torch.long)
    mask[0, 0] = 0
    with torch.no_grad(), real.precision(), Allocations() as allocations:
        reader = CachedReader(real)
        reader.read(mask, mask.bool())
        kept = allocations.live
    passes = planned("qwen3", "minillm", student=meta)
    reading = passes.reading(STUDENT, 6, 10)
    assert reading.pass_bytes == pytest.approx(allocations.peak - kept, rel=0.03)
    heads, width = 2, 8
    # The rotation of the keys returns float32.
    assert reading.cache_bytes == heads * width * (4 + (autocast or torch.float32).itemsize)
    layers = meta.module.model.layers.named_parameters()
    rounded = [2 * weight.numel() for name, weight in layers if autocast and "_proj" in name]
    assert reading.rounded_bytes == sum(rounded)
    assert passes.reading(TEACHER, 6, 10).rounded_bytes == 0  # nothing is kept of frozen weights


def test_a_pass_that_scores_responses():
    real = setup("gpt2", METHODS["kd"], "cpu")
    batch = Padded(6, 10, 14).batch(real.device).sequences
    for name, model in ((STUDENT, real.student), (TEACHER, real.teacher.model)):
        with torch.no_grad(), Allocations() as allocations:
            response_hidden(model, batch)
        expected = planned("gpt2", "kd").scoring(name, 6, 10, 14)
        assert expected == pytest.approx(allocations.peak, rel=0.02)


def test_averages_and_ensembles_are_counted():
    plain = planned("llama", "kd")
    shape = BatchShape(2, 5, 5)
    teacher = plain.setup.teacher
    average = planned("llama", "kd", teacher=AveragedTeacher(teacher.model))
    assert average.training(shape) == plain.training(shape)
    ensemble = planned("llama", "kd", teacher=EnsembleTeacher((teacher, teacher), (0.5, 0.5)))
    assert ensemble.training(shape) > plain.training(shape)


def test_half_precision_needs_fewer_bytes():
    plain = planned("llama", "sft")
    shape = BatchShape(4, 10, 20)
    assert plain.training(shape, dtype=torch.bfloat16) < 0.8 * plain.training(shape)


def test_gradient_checkpointing_stores_less():
    """Backward computes the activations of one layer at a time again."""
    student = stock_models.build("gpt2", 1, torch.float32, n_layer=4)
    student = replace(student, module=student.module.to("meta"))
    shape = BatchShape(4, 20, 4)
    complete = planned("gpt2", "sft", student=student).training(shape)
    assert planned("gpt2", "sft", student=recomputing(student)).training(shape) < complete / 2
