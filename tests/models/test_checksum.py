"""The checksum of weights: the same after a move, another one after training, large files too."""

import os
import shutil

import pytest
import torch
from huggingface_hub import constants
from transformers import GPT2Config, GPT2LMHeadModel

from minillm.errors import InputError
from minillm.models import checksum
from minillm.models.checksum import weights_checksum


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    shape = GPT2Config(vocab_size=64, n_embd=16, n_layer=2, n_head=2, n_positions=16)
    module = GPT2LMHeadModel(shape)
    module.save_pretrained(tmp_path / "model", max_shard_size="20KB")
    return tmp_path / "model"


def test_the_folder_does_not_matter(model, tmp_path):
    before = weights_checksum(str(model))
    config = model / "config.json"
    config.write_text(config.read_text() + " ")
    assert weights_checksum(str(shutil.copytree(model, tmp_path / "copy"))) == before


def test_every_byte_of_a_small_file_matters(model):
    before = weights_checksum(str(model))
    files = sorted(model.glob("*.safetensors"))
    assert len(files) > 1
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert weights_checksum(str(model)) != before
        file.write_bytes(content)
    assert weights_checksum(str(model)) == before


def test_a_large_file_is_read_in_parts(tmp_path, monkeypatch):
    """With its first and last byte, and its size; a change of every part is seen."""
    monkeypatch.setattr(checksum, "WHOLE", 100)
    monkeypatch.setattr(checksum, "PARTS", 8)
    monkeypatch.setattr(checksum, "PART", 16)
    file = tmp_path / "model.safetensors"
    content = os.urandom(1000)
    file.write_bytes(content)
    before = weights_checksum(str(tmp_path))
    read = [i for number in range(8) for i in range(984 * number // 7, 984 * number // 7 + 16)]
    for i in (0, 999, read[20], read[-20]):
        file.write_bytes(content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :])
        assert weights_checksum(str(tmp_path)) != before, i
    file.write_bytes(content[:20] + content[21:])
    assert weights_checksum(str(tmp_path)) != before


def test_a_model_of_the_hub_is_found_in_its_cache(model, tmp_path, monkeypatch):
    repository = tmp_path / "cache/models--owner--name"
    shutil.copytree(model, repository / "snapshots/abc")
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    assert weights_checksum("owner/name") == weights_checksum(str(model))


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(InputError, match=r"has no file \*\.safetensors or"):
        weights_checksum(str(tmp_path))
