"""`minillm prune` writes a model that loads, trains, and says how it was made."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from minillm.commands import prune
from minillm.config import DataConfig, ModelConfig
from minillm.data.encoding import encode
from minillm.data.loaders import load_records
from minillm.data.tokenizers import train_tokenizer
from minillm.models.checksum import weights_checksum
from minillm.models.language_model import build_model
from minillm.training import checkpoint
from tests.conftest import rows


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """A Llama of three layers in bfloat16, with tied embeddings."""
    folder = tmp_path_factory.mktemp("original")
    tokenizer = train_tokenizer([json.dumps(row) for row in rows(30)], vocab_size=300)
    shape = ModelConfig(architecture="llama", hidden_size=16, layers=3, heads=4, dtype="bfloat16")
    model = build_model(shape, tokenizer, max_length=128, seed=1).module
    model.generation_config.temperature = 0.7
    model.generation_config.do_sample = True
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def loaded(folder: Path):
    return AutoModelForCausalLM.from_pretrained(folder)


def test_layers_without_data(command, original, settings):
    outcome = command("prune", original, "out", "layers=2")
    assert outcome.status == 0, outcome.err
    assert "layers:     1 3" in outcome.out and "forward KL" not in outcome.out
    smaller, model = loaded("out"), loaded(original)
    assert smaller.dtype == torch.bfloat16 and len(smaller.model.layers) == 2
    assert smaller.lm_head.weight is smaller.model.embed_tokens.weight
    assert smaller.generation_config.temperature == 0.7
    kept = {0: 0, 1: 2}
    for new, old in kept.items():
        weights = model.model.layers[old].state_dict()
        for name, weight in smaller.model.layers[new].state_dict().items():
            assert torch.equal(weight, weights[name])
    tokenizers = [AutoTokenizer.from_pretrained(folder) for folder in ("out", original)]
    assert tokenizers[0].get_vocab() == tokenizers[1].get_vocab()
    record = json.loads(Path("out/minillm.json").read_text())
    assert record["original"] == str(original) and record["kept"]["layers"] == [1, 3]
    assert record["weights_checksum"] == weights_checksum(str(original))
    assert record["data"] is None and record["comparison"] is None
    trained = command("train", *settings, "method=kd", "student.path=out",
                      f"teacher.path={original}", "output=run")  # fmt: skip
    assert trained.status == 0, trained.err


def test_width_and_layers_by_the_data(command, original, settings, data_folder):
    data = [word for word in settings if word.startswith(("data.", "runtime."))]
    outcome = command("prune", original, "out", "layers=2", "by=angle", "ffn=12", "heads=2", *data)
    assert outcome.status == 0, outcome.err
    smaller, model = loaded("out").float(), loaded(original).float()
    config = smaller.config
    assert (config.intermediate_size, config.num_attention_heads, config.head_dim) == (12, 2, 4)
    record = json.loads(Path("out/minillm.json").read_text())
    assert record["inputs"] == {"train": 25, "validation": 5}
    assert len(record["kept"]["heads"]) == 2 and record["kept"]["units_per_layer"] == 12
    assert record["data"]["path"] == str(data_folder)

    config = DataConfig(kind="jsonl", path=str(data_folder), train="train.jsonl",
                        validation_size=5, max_prompt_length=32, max_response_length=8)  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(original)
    examples = encode(load_records(config, ["validation"])["validation"], tokenizer, config)
    total = tokens = 0.0
    for example in examples.examples:
        ids = torch.tensor([example.prompt_ids + example.response_ids[0]])
        columns = slice(len(example.prompt_ids) - 1, -1)
        with torch.no_grad():
            p, q = (x(ids).logits[0, columns].log_softmax(-1) for x in (model, smaller))
        total += float((p.exp() * (p - q)).sum())
        tokens += len(example.response_ids[0])
    comparison = record["comparison"]
    assert comparison["forward_kl"] == pytest.approx(total / tokens, rel=0.05)  # bfloat16
    assert f"{comparison['forward_kl']:.3f} nats per token" in outcome.out


def test_the_model_of_a_run_is_pruned_by_the_data_of_the_run(command, teacher):
    outcome = command("prune", teacher, "out", "ffn=20")
    assert outcome.status == 0, outcome.err
    assert loaded("out").transformer.h[0].mlp.c_fc.weight.shape == (16, 20)


def test_ctrl_c_leaves_no_part_of_a_folder(command, original, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "sync_folder", interrupt)
    assert command("prune", original, "out", "layers=2").status == 130
    assert not list(Path().iterdir())


def test_a_folder_that_cannot_be_written(command, original, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prune, "save_checkpoint", fail)
    outcome = command("prune", original, "out", "layers=2")
    assert outcome.status == 74 and "out could not be written: [Errno 28]" in outcome.err
    assert "written:" not in outcome.out
