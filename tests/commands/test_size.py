"""The experiments of the paper take the settings that the paper has for the size of the student."""

import logging

import pytest
from transformers import GPT2Config

from minillm.commands.size import with_settings_for_size
from minillm.compat import hub
from minillm.compose import load_config
from minillm.errors import InputError

# Few wide layers, so that the model without weights is made quickly.
SHAPES = {
    "small": {"n_embd": 768, "n_layer": 2},
    "large": {"n_embd": 6400, "n_head": 64, "n_layer": 3},
}


@pytest.fixture
def trained(tmp_path):
    """The settings of a training: `trained(size, experiment, *overrides)`."""

    def load(size: str, experiment: str, *overrides: str):
        GPT2Config(**SHAPES[size]).save_pretrained(tmp_path / size)
        models = [f"student.path={tmp_path / size}", "teacher.path=gpt2-xl", "data.path=x"]
        config = load_config([f"experiment={experiment}", *models, *overrides])
        return with_settings_for_size(config).training

    return load


@pytest.mark.parametrize(
    ("size", "experiment", "lr", "epochs"),
    [
        ("small", "paper/sft", 5e-4, 20),
        ("large", "paper/sft", 5e-5, 10),
        ("large", "paper/teacher", 5e-5, 10),
        ("large", "paper/seqkd", 5e-5, 10),
        ("small", "paper/init", 5e-4, 3),
        ("large", "paper/init", 5e-5, 3),
    ],
)
def test_large_students_have_other_settings(trained, size, experiment, lr, epochs, caplog):
    caplog.set_level(logging.INFO, "minillm")
    training = trained(size, experiment)
    assert (training.lr, training.epochs, training.by_size) == (lr, epochs, [])
    assert f"training.lr={lr:g}, training.epochs={epochs}" in caplog.text


def test_settings_of_the_command_line_win(trained):
    training = trained("large", "paper/sft", "training.lr=1e-5")
    assert (training.lr, training.epochs) == (1e-5, 10)
    training = trained("large", "paper/sft", "training.epochs=null", "training.steps=7")
    assert (training.lr, training.epochs, training.steps) == (5e-5, None, 7)
    training = trained("large", "paper/sft", "training={lr: 2e-5, epochs: 4}")
    assert (training.lr, training.epochs) == (2e-5, 4)


def test_settings_of_a_file_win_over_the_sizes_of_its_experiment(trained, tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("experiment: paper/sft\ntraining: {lr: 1e-4}\n")
    training = trained("large", str(file))
    assert (training.lr, training.epochs) == (1e-4, 10)


def test_a_hub_name_is_counted_only_if_the_hub_answers(monkeypatch):
    """Otherwise the libraries wait for the Hub for most of a minute."""
    names = []
    monkeypatch.setattr(hub, "prepare", names.append)
    config = load_config(["experiment=paper/sft", "student.path=nobody/gpt3", "data.path=x"])
    with pytest.raises(InputError, match="nobody/gpt3"):
        with_settings_for_size(config)
    assert names == ["nobody/gpt3"] * 2  # for an adapter, and for the model
