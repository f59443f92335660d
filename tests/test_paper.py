"""The experiments of the paper have the settings of the official scripts."""

from dataclasses import asdict

import pytest

from minillm.compose import groups, load_config
from minillm.config import Config
from minillm.data.loaders import load_records, splits_of
from minillm.errors import InputError

RUNS = [name for name in groups()["experiment"] if name.startswith("paper/")]
# scripts/gpt2/tools/process_data_dolly.sh, sft/sft_base.sh and eval/eval_main_dolly.sh
DATA = {
    "hold_out": "first", "validation_size": 1000, "duplicates": "keep", "template": "alpaca",
    "max_prompt_length": 256, "long_test_prompts": "truncate", "max_response_length": 256,
    "max_length": 512, "tokenize": "joint", "special_tokens": False,
}  # fmt: skip


def load(run: str) -> Config:
    return load_config([f"experiment={run}", "data.path=x", "student.path=a", "teacher.path=b"])


@pytest.mark.parametrize("run", RUNS)
def test_data(run):
    config = load(run)
    assert asdict(config.data).items() >= DATA.items()
    assert config.training.validation_inputs == 1000


def test_dolly():
    """The 500 test inputs are in a file of their own."""
    data = asdict(load_config(["data=dolly"]).data)
    assert data.items() >= DATA.items()
    assert (data["train"], data["validation"], data["test"]) == ("raw.jsonl", None, "valid.jsonl")


@pytest.mark.parametrize("name", ["self_inst", "vicuna", "sinst", "uinst"])
def test_other_test_sets_have_no_training_data(name):
    config = load_config([f"data={name}"])
    assert asdict(config.data).items() >= DATA.items()
    assert config.data.name == name and splits_of(config.data) == ["test"]
    with pytest.raises(InputError, match="has only a test split"):
        load_records(config.data, {"train", "validation"})


@pytest.mark.parametrize(("name", "words"), {"sst2": ["negative", "positive"],
                                             "boolq": ["no", "yes"]}.items())  # fmt: skip
def test_classifications_have_label_words(name, words):
    data = load_config([f"data={name}"]).data
    assert [*data.labels.values()] == words and splits_of(data) == ["test"]


@pytest.mark.parametrize("run", RUNS)
def test_optimiser(run):
    """Fine-tuning and KD have torch's default betas (sft_base.sh, kd_base.sh, finetune.py)."""
    training = load(run).training
    official = ((0.9, 0.95), 1e-6) if run == "paper/minillm" else ((0.9, 0.999), 1e-2)
    assert (tuple(training.betas), training.weight_decay) == official


def test_every_process_samples_all_its_responses_at_once():
    assert load("paper/minillm").method.sampling_batch_size is None
