"""Two processes train an adapter as one process does, also with 4-bit weights."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.conftest import call
from tests.distributed.conftest import free_port
from tests.distributed.worker import environment
from tests.tiny import tiny_config
from tests.training.interrupting import join_group, start

KD = ["method=kd", "student.path=base", "student.lora.rank=4", "teacher.kind=base",
      "training.batch_size=4", "training.lr=1e-2", "training.max_grad_norm=0.1"]  # fmt: skip
FOUR_BITS = ["student.load_in_4bit=true", "method=minillm", "method.rollouts_per_collection=8"]


@pytest.fixture
def folder(tmp_path, teacher, monkeypatch) -> Path:
    """A working folder with a base of a size that bitsandbytes can store."""
    monkeypatch.chdir(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(teacher / "best")
    shape = {"hidden_size": 64, "intermediate_size": 128, "vocab_size": len(tokenizer)}
    torch.manual_seed(3)
    ends = {"bos_token_id": 0, "eos_token_id": 0, "max_position_embeddings": 64}
    AutoModelForCausalLM.from_config(tiny_config("llama", **shape | ends)).save_pretrained("base")
    tokenizer.save_pretrained("base")
    return tmp_path


def by_two(arguments: list[str], folder: Path) -> None:
    port = free_port()
    joins = [partial(join_group, rank, 2, port, None) for rank in range(2)]
    processes = [start(arguments, folder, join) for join in joins]
    for process in processes:
        process.join(120)
        assert process.exitcode == 0, (folder / "errors.txt").read_text()[-3000:]


def test_two_processes_train_an_adapter_as_one(folder, settings):
    arguments = ["train", *settings, *KD]
    assert call(*arguments, "output=alone") == 0
    by_two([*arguments, "output=together"], folder)
    alone, together = (load_file(f"{run}/last/model.safetensors") for run in ("alone", "together"))
    assert all((together[name] - weight).abs().max() < 1e-5 for name, weight in alone.items())
    (weights,) = Path("together/checkpoints").glob("step-000003/pytorch_model.bin")
    assert all(".lora_" in name and name.startswith("model.") for name in torch.load(weights))
    start = load_file("base/model.safetensors")
    changes = [(weight - start[name]).abs().max() for name, weight in alone.items()]
    assert max(changes) > 1e-3


def test_two_processes_train_beside_weights_in_4_bits(folder, settings):
    """Each process reads the base by itself. All have the same weights, also at the end."""
    by_two(["train", *settings, *KD, *FOUR_BITS, "output=together"], folder)
    lines = [json.loads(line) for line in Path("together/metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["validation/reverse_kl"] > 1e-6
    ratios = [line["policy/first_ratio"] for line in lines if "policy/first_ratio" in line]
    assert ratios and all(abs(ratio - 1) < 1e-4 for ratio in ratios)


@pytest.mark.parametrize(("backend", "name"), [("fsdp2", "FSDP2"), ("zero2", "DeepSpeed")])
def test_backends_that_shard_are_refused(folder, settings, monkeypatch, capsys, backend, name):
    for key, value in environment(backend).items():
        monkeypatch.setenv(key, value)
    assert call("train", *settings, *KD, "output=out") == 2
    said = capsys.readouterr().err
    assert f"a student with an adapter cannot be trained by {name}" in said
    assert "BACKEND=ddp" in said
