"""The bytes per parameter of every backend are those of docs/distributed.md."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from minillm.planning.backends import BACKENDS, ONE_PROCESS, WEIGHTS
from minillm.settings.groups import CONFIGS
from tests.tiny import tiny_config

PAGE = Path(__file__).parents[2] / "docs" / "distributed.md"
TABLE = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines()]
HEADER = next(row for row in TABLE if row[0] == "`BACKEND`")


@pytest.mark.parametrize("is_half", [False, True])
@pytest.mark.parametrize("backend", BACKENDS[:-1], ids=lambda backend: backend.name)
def test_the_table_of_the_page(backend, is_half):
    precision = "bf16" if is_half else "no"
    rows = [row for row in TABLE if row[0] == backend.name and precision in row[1].split(", ")]
    (row,) = (dict(zip(HEADER, row, strict=True)) for row in rows)
    for processes in (1, 2, 8):
        for part, size in backend.bytes_per_parameter(processes, is_half).items():
            number, _, divided = row[part].partition("/")
            assert size == int(number) / (processes if divided else 1), part
    totals = [sum(backend.bytes_per_parameter(n, is_half).values()) for n in (1, 2, 8)]
    assert totals == [float(x) for x in row["all, N = 1, 2, 8"].split(", ")]


def test_every_backend_of_the_launcher_is_planned():
    files = {path.stem for path in (CONFIGS / "accelerate").glob("*.yaml")}
    assert files - {"cpu", "gpu", "multi_node"} == {backend.name for backend in BACKENDS}


def test_gathered_layers_and_buckets():
    with torch.device("meta"):
        module = AutoModelForCausalLM.from_config(tiny_config("llama", vocab_size=100))
    count = sum(weight.numel() for weight in module.parameters())
    layers = [sum(w.numel() for w in layer.parameters()) for layer in module.model.layers]
    outside = count - sum(layers)
    in_transit = {x.name: x.in_transit(module, is_half=False) for x in (ONE_PROCESS, *BACKENDS)}
    assert in_transit["one process"] == in_transit["ddp"] == 0
    assert in_transit["fsdp2"] == 4 * (outside + 2 * layers[0]) + 4 * (outside + layers[0])
    file = json.loads((CONFIGS / "deepspeed" / "zero2.json").read_text())
    bucket = file["zero_optimization"].get("reduce_bucket_size", 500_000_000)
    assert in_transit["zero1"] == in_transit["zero2"] == 4 * bucket
    largest = max(weight.numel() for weight in module.parameters())
    assert in_transit["zero3"] == 4 * (count + largest + module.config.hidden_size**2)
    assert all(WEIGHTS in x.shares for x in BACKENDS if x.gathers_weights)
