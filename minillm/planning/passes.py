"""The bytes that the tensors of a pass need, counted by running the pass without memory.

The code of training and sampling runs on tensors without data (`compat/fake_tensors.py`). Only the
sequences are made here: they have the largest possible lengths, and no padding.
"""

from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from minillm.compat.fake_tensors import Allocations, fake_tensors
from minillm.data.batches import PromptBatch, SequenceBatch
from minillm.methods.build import PLAIN_TOKENS, TOKENS, build_losses
from minillm.methods.loss import Loss
from minillm.methods.policy_gradient import PolicyBatch, PolicyGradient
from minillm.models.adapters import has_adapter
from minillm.models.forward import response_hidden
from minillm.models.heads import output_head
from minillm.models.language_model import LanguageModel
from minillm.models.parts import with_weights
from minillm.models.reader import CachedReader
from minillm.objectives.chunked import default_chunk_size
from minillm.objectives.targets import HeadTargets
from minillm.sources.source import TrainingBatch
from minillm.teachers import AveragedTeacher, LocalTeacher
from minillm.training.setup import Setup

STUDENT, TEACHER = "student", "teacher"


@dataclass(frozen=True)
class BatchShape:
    """The shape of a batch.

    Attributes:
        rows: number of sequences.
        prompt: tokens per prompt.
        response: tokens per response.
        teacher_prompt: tokens per prompt that the teacher reads; None for the student's prompts.
    """

    rows: int
    prompt: int
    response: int
    teacher_prompt: int | None = None

    def batch(self, device: torch.device) -> TrainingBatch:
        """A batch of this shape without padding."""

        def ids(length: int) -> torch.Tensor:
            return torch.ones(self.rows, length, dtype=torch.long, device=device)

        prompt, response = ids(self.prompt), ids(self.response)
        teacher = None if self.teacher_prompt is None else ids(self.teacher_prompt)
        return TrainingBatch(
            SequenceBatch(prompt, prompt, response, response),
            None if teacher is None else PromptBatch(teacher, teacher),
        )


@dataclass(frozen=True)
class Reading:
    """The bytes of a pass that reads prompts into a cache.

    Attributes:
        pass_bytes: peak of the tensors of the pass, without the cache and the rounded weights.
        cache_bytes: keys and values of one token.
        rounded_bytes: weights that autocast has rounded and keeps between the passes.
    """

    pass_bytes: int
    cache_bytes: float
    rounded_bytes: int


class Passes:
    """Counts the bytes of the passes of a training. Each pass is counted once.

    Args:
        setup: settings, and models on the meta device.
        on_gpu: whether the training is on GPUs. Without a GPU at hand, the kernels of the CPU are
            counted, with the chunks of logits of a GPU.
    """

    def __init__(self, setup: Setup, on_gpu: bool) -> None:
        config, vocab_size = setup.config, setup.student.vocab_size
        self.on_gpu = on_gpu
        self.device = torch.device("cuda" if on_gpu and torch.cuda.is_available() else "cpu")
        device = torch.device("cuda" if on_gpu else "cpu")
        chunk_size = config.training.chunk_size or default_chunk_size(device, vocab_size)
        config = replace(config, training=replace(config.training, chunk_size=chunk_size))
        self.setup = replace(setup, config=config, device=self.device)
        self.chunk_size = chunk_size
        self.training = cache(self._training)
        self.reading = cache(self._reading)
        self.scoring = cache(self._scoring)
        self._fake_module = cache(self._make_fake)

    def _training(
        self,
        tokens: BatchShape,
        plain_tokens: BatchShape | None = None,
        dtype: torch.dtype | None = torch.float32,
    ) -> int:
        """The peak of forward and backward of a micro-batch, without weights and their gradients.

        Args:
            tokens: shape of a micro-batch.
            plain_tokens: shape of a micro-batch of plain text; None without plain text.
            dtype: of the student's weights; None for the dtype in which they are loaded.
        """
        shapes = {TOKENS: tokens, PLAIN_TOKENS: plain_tokens}
        teacher = self.setup.teacher
        if isinstance(teacher, AveragedTeacher):  # it has no other model for its passes
            teacher = LocalTeacher(teacher.model, teacher.top_k, teacher.top_k_temperature)
        teacher = teacher and teacher.replace_models(self._fake)
        setup = replace(self.setup, student=self._fake(self.setup.student, dtype), teacher=teacher)
        with fake_tensors():
            losses = build_losses(setup)
            modules = [module for loss in losses.values() for module in loss.modules().values()]
            for weight in nn.ModuleList([setup.student.module, *modules]).parameters():
                if weight.requires_grad:
                    weight.grad = torch.zeros_like(weight)
            return max(loss_bytes(setup, loss, shapes[name]) for name, loss in losses.items())

    @torch.no_grad()
    def _reading(self, of: str, rows: int, columns: int) -> Reading:
        """The bytes to read `rows` prompts of `columns` tokens into a cache.

        Args:
            of: the model, STUDENT or TEACHER.
            rows: number of prompts.
            columns: tokens per prompt.
        """
        (model,) = self._models(of)
        with fake_tensors():
            ids = torch.ones(rows, columns, dtype=torch.long, device=self.device)
            reader = CachedReader(model)
            with Allocations() as allocations:
                with model.precision():  # as in the sampler
                    reader.read(ids, ids.bool())
                    kept = allocations.live
                rounded = kept - allocations.live
        states = [x for layer in reader.cache.layers for x in (layer.keys, layer.values)]
        cache_bytes = sum(x.numel() * x.element_size() for x in states)
        return Reading(allocations.peak - kept, cache_bytes / (rows * columns), rounded)

    @torch.no_grad()
    def _scoring(self, of: str, rows: int, prompt: int, response: int) -> int:
        """The largest peak of a forward pass of the models over `rows` complete sequences."""
        peaks = []
        for model in self._models(of):
            with fake_tensors():
                batch = BatchShape(rows, prompt, response).batch(self.device)
                with Allocations() as allocations:
                    response_hidden(model, batch.sequences)
            peaks.append(allocations.peak)
        return max(peaks)

    def _models(self, of: str) -> list[LanguageModel]:
        models = [self.setup.student] if of == STUDENT else self.setup.teacher.models
        return [self._fake(model) for model in models]

    def _fake(self, model: LanguageModel, dtype: torch.dtype | None = None) -> LanguageModel:
        """A model of the setup with fake tensors, in another `dtype` if given."""
        return replace(model, module=self._fake_module(model.module, dtype or model.module.dtype))

    def _make_fake(self, meta: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
        with fake_tensors(), self.device:
            # The config of the module has the attention implementation, under a private name.
            module = AutoModelForCausalLM.from_config(
                meta.config, dtype=dtype, attn_implementation=meta.config._attn_implementation
            )
        if has_adapter(meta):  # the config does not know it
            buffers = dict(module.named_buffers())
            module = with_weights(meta, self._fake_weight)
            for name, buffer in buffers.items():
                owner, _, attribute = name.rpartition(".")
                setattr(module.get_submodule(owner), attribute, buffer)
            return module
        is_trained = any(weight.requires_grad for weight in meta.parameters())
        return module.requires_grad_(is_trained).train(meta.training)

    def _fake_weight(self, weight: torch.Tensor) -> torch.Tensor:
        with fake_tensors():
            return torch.empty(weight.shape, dtype=weight.dtype, device=self.device)


def loss_bytes(setup: Setup, loss: Loss, shape: BatchShape) -> int:
    """The peak of forward and backward of a micro-batch, if trained weights have gradients."""
    part = shape.batch(setup.device)
    if isinstance(loss, PolicyGradient):
        teacher, tokens = setup.teacher.sampler, (shape.rows, shape.response)
        hidden = torch.zeros(
            *tokens, width(teacher), dtype=teacher.module.dtype, device=setup.device
        )
        part = replace(part, targets=HeadTargets(hidden, output_head(teacher).ready()))
        part = PolicyBatch(part, *(torch.zeros(tokens, device=setup.device) for _ in range(3)))
    with Allocations() as allocations:
        value, _ = loss(setup.student.module, part)
        value.backward()
    return allocations.peak


def width(model: LanguageModel) -> int:
    """The size of the last hidden states."""
    return model.module.get_output_embeddings().weight.shape[1]
