"""Models: loading, errors of loading, padded vocabularies, left padding, checkpoints."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, Qwen2Config

from minillm.config import ModelConfig
from minillm.data.batches import SequenceBatch
from minillm.data.tokenizers import load_tokenizer
from minillm.models.fit import fit
from minillm.models.forward import response_hidden
from minillm.models.heads import output_head
from minillm.models.language_model import build_model, load_model
from minillm.sampling.generate import generate
from minillm.sampling.sampler import Decoding
from minillm.training.checkpoint import checkpoint_details, save_checkpoint
from tests.conftest import BUILT


@pytest.fixture(scope="module")
def tokenizer(teacher):
    return load_tokenizer(str(teacher / "best"))


def built(tokenizer, architecture="gpt2"):
    config = ModelConfig(architecture=architecture, hidden_size=16, heads=2)
    model = build_model(config, tokenizer, 40, seed=3)
    model.module.eval()
    return model


def qwen(tokenizer, rows, folder):
    """A model with padded output rows, whose logits are far larger than those of the tokens."""
    config = Qwen2Config(
        vocab_size=rows, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=64,
        tie_word_embeddings=False, eos_token_id=0, bos_token_id=None,
    )  # fmt: skip
    module = AutoModelForCausalLM.from_config(config)
    torch.nn.init.normal_(module.lm_head.weight[len(tokenizer) :], std=9)
    module.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load_model(ModelConfig(path=str(folder)), tokenizer)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_left_padding_does_not_change_logits(tokenizer, architecture):
    model = built(tokenizer, architecture)
    head = output_head(model)
    pairs = [([5, 6, 7, 8, 9, 10], [11, 12, 0]), ([13, 14], [15]), ([16], [17, 18])]
    with torch.no_grad():
        together = head.logits(response_hidden(model, SequenceBatch.pad(pairs, 0)))
        for row, pair in enumerate(pairs):
            batch = SequenceBatch.pad([pair], 0)
            alone = head.logits(response_hidden(model, batch))[0]
            torch.testing.assert_close(together[row, : len(alone)], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_saving_and_loading_do_not_change_a_model(tokenizer, tmp_path, architecture):
    model = built(tokenizer, architecture)
    for _ in range(2):  # the second checkpoint replaces the first
        save_checkpoint(model, tmp_path / "saved", {"seed": 3})
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    assert checkpoint_details(tmp_path / "saved") == {"seed": 3}
    loaded = load_model(ModelConfig(path=str(tmp_path / "saved")), tokenizer)
    assert loaded.parameters == model.parameters and loaded.eos_ids == model.eos_ids
    ids = torch.tensor([[5, 6, 7]])
    assert torch.equal(loaded.module.eval()(ids).logits, model.module(ids).logits)


def test_the_fused_activation_of_gpt2_does_not_change_logits(tokenizer, tmp_path):
    model = built(tokenizer)
    module = type(model.module)(
        GPT2Config(**model.module.config.to_dict() | {"activation_function": "gelu_new"})
    )
    module.save_pretrained(tmp_path)
    loaded = load_model(ModelConfig(path=str(tmp_path)), tokenizer).module
    ids = torch.arange(20).view(2, 10)
    torch.testing.assert_close(loaded(ids).logits, module.eval()(ids).logits, atol=1e-6, rtol=1e-6)
    assert loaded.config.activation_function == "gelu_pytorch_tanh"


def test_checkpoints_of_a_run_load_with_plain_transformers(teacher):
    for name in ("best", "last"):
        module = AutoModelForCausalLM.from_pretrained(teacher / name)
        tokenizer = AutoTokenizer.from_pretrained(teacher / name)
        ids = tokenizer("Mix red", return_tensors="pt")["input_ids"]
        assert torch.isfinite(module(ids).logits).all()
        assert module.config.vocab_size == len(tokenizer) == 300


def test_padded_vocabularies_are_cut_and_padded_rows_are_never_sampled(tokenizer, tmp_path, caplog):
    caplog.set_level("INFO", "minillm")
    student = qwen(tokenizer, 320, tmp_path / "student")
    teacher = qwen(tokenizer, 352, tmp_path / "teacher")
    teacher = fit(student, teacher)
    assert "student 320, teacher 352" in caplog.text and "the tokenizer's 300" in caplog.text
    batch = SequenceBatch.pad([([5, 6], [7, 8])], 0)
    for model in (student, teacher):
        hidden = response_hidden(model, batch)
        assert output_head(model).logits(hidden).shape == (1, 2, 300)
        uncut_logits = model.module(torch.tensor([[5, 6]])).logits
        assert uncut_logits.argmax() >= 300, "the test needs likely padded rows"
        for temperature in (0.0, 1.0):
            decoding = Decoding(8, temperature)
            _, rollout = next(generate(model, [[5, 6]] * 8, decoding, batch_size=8, seed=1))
            assert int(rollout.sequences.response_ids.max()) < 300


def test_padded_vocabularies_in_every_method(command, settings, tokenizer, tmp_path):
    for name, rows in (("student", 320), ("teacher", 352)):
        qwen(tokenizer, rows, tmp_path / name)
    for method in ("kd", "seqkd", "minillm"):
        outcome = command(
            "train", *settings, "student.path=student", "teacher.path=teacher", f"method={method}",
            "training.steps=1", f"output={method}",
        )  # fmt: skip
        assert outcome.status == 0, outcome.err


def test_different_tokenizers_are_refused(command, refused, settings, teacher):
    options = ["student.vocab_size=305", "training.steps=1", "output=other"]
    assert command("train", *settings, *BUILT, *options).status == 0
    message = refused("method=kd", "student.path=other/best", f"teacher.path={teacher}/best")
    assert "305 tokens against 300" in message and "5 tokens have another id" in message
    assert "student.tokenizer" in message


def test_a_new_student_can_use_the_teachers_tokenizer(command, settings, teacher):
    outcome = command(
        "train", *settings, "method=kd", f"teacher.path={teacher}/best", "output=out",
        "student.architecture=llama", "student.hidden_size=16", "training.steps=1",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err


@pytest.fixture
def damaged(teacher, tmp_path):
    """A copy of a valid model; the test damages it."""
    return shutil.copytree(teacher / "best", tmp_path / "damaged")


def test_missing_and_damaged_models_are_refused(refused, teacher, damaged):
    def message():
        text = refused("student.path=damaged")
        assert "damaged" in text and "Give" in text and ".." not in text
        return text

    weights = (damaged / "model.safetensors").read_bytes()
    (damaged / "model.safetensors").write_bytes(weights[:3000])
    assert "could be loaded" in message()
    (damaged / "model.safetensors").unlink()
    assert "model.safetensors" in message()
    (damaged / "model.safetensors").write_bytes(weights)
    config = json.loads((damaged / "config.json").read_text())
    (damaged / "config.json").write_text(json.dumps(config | {"n_layer": 2}))
    assert "lacks" in message() and "transformer.h.1" in message()
    (damaged / "config.json").write_text(json.dumps(config | {"n_layer": "two"}))
    assert "'n_layer'" in message()
    (damaged / "config.json").write_text('{"model_type": "musicgen"}')  # fails in transformers
    assert "no causal language model" in message()
    (damaged / "config.json").write_text("{")
    assert "config" in message()
    (damaged / "config.json").write_text(json.dumps(config))
    (damaged / "tokenizer.json").unlink()
    assert "tokenizer" in message()
    (damaged / "tokenizer_config.json").unlink()
    assert "no tokenizer" in message()


def test_missing_models_are_refused(command, refused, teacher):
    assert "gone/model/best: there is no such folder" in refused("student.path=gone/model/best")
    assert "teacher.path=./gone" in refused(
        "method=kd", f"student.path={teacher}/best", "teacher.path=./gone"
    )
    message = refused("student.path=gone")
    assert "gone (not a folder, so used as a Hub name)" in message and "Give a folder" in message
    for verb in ("evaluate", "generate"):
        outcome = command(verb, "./gone")
        assert outcome.status == 2 and "no such folder" in outcome.err


def test_a_model_with_too_few_positions_is_refused(refused, teacher):
    student = f"student.path={teacher}/best"
    message = refused(student, "data.max_response_length=100")
    assert "40 positions" in message and "132 tokens" in message and "Lower" in message
    Path("text.txt").write_text("a word " * 600)
    plain_text = ["method.lm_coef=1", "data.plain_text=text.txt"]
    message = refused(student, f"teacher.path={teacher}/best", "method=minillm", *plain_text)
    assert "40 positions" in message and "512 tokens" in message and "lm_length" in message
