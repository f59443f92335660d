"""Bytes that a training step of a process stores for backward."""

from dataclasses import replace

import torch

from minillm.config import Config
from minillm.data.batches import SequenceBatch
from minillm.models.forward import response_loss
from minillm.runtime import autocast_dtype, start_accelerator, uses_deepspeed
from minillm.training.optimization import build_optimizer
from minillm.training.sharding import accumulating, gather_student, prepare
from tests.models.stock_models import build
from tests.objectives.small_heads import LOG_PROBS
from tests.stored_tensors import StoredTensors

WIDTH = 128  # large, so that the statistics of norms and attention do not matter
SHAPE = {"hidden_size": WIDTH, "intermediate_size": WIDTH * 11 // 4, "num_attention_heads": 2,
         "num_key_value_heads": 2, "head_dim": WIDTH // 2}  # fmt: skip
LENGTH = 16  # tokens of a sequence
ROWS = (1, 2, 1)  # sequences of the micro-batches of a step


def activations_stored(config: Config) -> list[float]:
    """Bytes per token and layer of a Llama, divided by the width; without and with recomputation.

    The differences between micro-batches and between models exclude weights and other layers.
    """
    one, two = (_of_a_sequence(config, layers) for layers in (1, 2))
    return [(y - x) / LENGTH / WIDTH for x, y in zip(one, two, strict=True)]


def _of_a_sequence(config: Config, layers: int) -> list[int]:
    """Bytes that a sequence adds to a micro-batch, without and with recomputation."""
    accelerator = start_accelerator(config)
    student = build("llama", seed=1, dtype=torch.float32, num_hidden_layers=layers, **SHAPE)
    student = replace(student, autocast=None if uses_deepspeed() else autocast_dtype(config))
    student = gather_student(student, accelerator)
    optimizer = build_optimizer(student.module, config.training, accelerator.device)
    module, optimizer = prepare(accelerator, student.module, optimizer, max_norm=1.0)
    sizes = []
    for recomputes in (False, True):
        student = replace(student, recomputes_layers=recomputes)
        held = []
        for number, rows in enumerate(ROWS):
            batch = SequenceBatch.pad([([5] * (LENGTH // 2), [9] * (LENGTH // 2))] * rows, 1)
            tensors = StoredTensors()
            with accumulating(accelerator, module, is_last=number == len(ROWS) - 1):
                with tensors:
                    loss, _ = response_loss(module, batch, student, terms=LOG_PROBS, loss=_loss)
                held.append(tensors.bytes)
                accelerator.backward(loss)
        optimizer.step()
        sizes.append(held[1] - held[2])
    return sizes


def _loss(values: dict[str, torch.Tensor]) -> torch.Tensor:
    return -values["log_probs"]
