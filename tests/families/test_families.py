"""The models of configs/family are read and ended as their families need.

Tiny random models with the same special tokens, ties and padded vocabularies stand for the real
ones (`scripts/tiny_models.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
import torch

from minillm.commands.loading import load_frozen, make_model, make_tokenizer
from minillm.compose import CONFIGS, load_config
from minillm.config import Config
from minillm.data.encoding import encode
from minillm.data.records import Record
from minillm.models.broadcast import description, without_values
from minillm.models.fit import fit, tokenizer_differences
from scripts.tiny_models import KINDS, write_model

END = "<|endoftext|>"
TEACHERS = {"gpt2": "1.5B", "opt": "13B", "llama": "13B", "gptj": "6B", "qwen2.5": "7B",
            "qwen3": "8B", "llama3.2": "3B", "smollm2": "135M"}  # fmt: skip


@dataclass(frozen=True)
class Family:
    """What is expected of a model.

    Attributes:
        pad: the pad token; for families without one, EOS.
        end: the token that ends the responses of the training data.
        ends: all tokens that end a sampled response.
        spare_rows: output rows without a token.
        tied: whether the input and output embeddings are the same.
        template: of the prompts.
    """

    pad: str
    end: str
    ends: set[str]
    spare_rows: int = 0
    tied: bool = True
    template: str = "alpaca"


CHATML = {"end": "<|im_end|>", "template": "chat"}
LLAMA3 = {"<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"}
FAMILIES = {
    "gpt2/120M": Family(END, END, {END}),
    "gptj/6B": Family(END, END, {END}, spare_rows=13, tied=False),
    "gptj/2.7B": Family(END, END, {END}),
    "opt/1.3B": Family("<pad>", "</s>", {"</s>"}),
    "llama/7B": Family("</s>", "</s>", {"</s>"}, tied=False),
    "qwen2.5/1.5B": Family(END, ends={END, "<|im_end|>"}, spare_rows=9, **CHATML),
    "qwen2.5/7B": Family(END, ends={END, "<|im_end|>"}, spare_rows=13, tied=False, **CHATML),
    "qwen3/8B": Family(END, ends={END, "<|im_end|>"}, spare_rows=13, tied=False, **CHATML),
    "llama3.2/1B": Family("<|eot_id|>", "<|eot_id|>", LLAMA3, template="chat"),
    "smollm2/135M": Family("<|im_end|>", ends={"<|im_end|>"}, **CHATML),
}


@pytest.fixture
def folder(tmp_path):
    """A function that writes the tiny model of a name."""

    def written(name: str) -> str:
        path = tmp_path / name
        write_model(name, path)
        return str(path)

    return written


def settings(name: str, folder: Callable[[str], str]) -> Config:
    options = ["experiment=paper/sft", "data.path=x", f"family={name}", "runtime=cpu",
               f"student.path={folder(name)}"]  # fmt: skip
    config = load_config(options)
    if config.student.tokenizer:  # GPT-J has the tokenizer of its students
        config = load_config([*options, f"student.tokenizer={folder('gptj/760M')}"])
    return config


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_of_each_family_is_read_and_ended_rightly(name, folder):
    """`make_model` also compares padded with plain forward passes, see `check_model`."""
    expected, config = FAMILIES[name], settings(name, folder)
    tokenizer = make_tokenizer(config, [])
    model = make_model(config, config.student, tokenizer)
    assert tokenizer.pad_token == expected.pad
    assert set(tokenizer.convert_ids_to_tokens(list(model.eos_ids))) == expected.ends
    rows = model.module.get_output_embeddings().weight
    assert rows.shape[0] - model.vocab_size == expected.spare_rows
    assert (rows is model.module.get_input_embeddings().weight) == expected.tied
    assert config.data.template == expected.template
    (example,) = encode([Record("Say no.", ("No.",))], tokenizer, config.data).examples
    *response, end = example.response_ids[0]
    assert tokenizer.convert_ids_to_tokens(end) == expected.end
    text = tokenizer.decode(response)
    assert text == ("<think>\n\n</think>\n\nNo." if name.startswith("qwen3") else "No.")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_can_be_described_to_other_processes(name, folder):
    """After `check_model`, which must leave nothing that cannot be sent (`models/broadcast.py`)."""
    config = settings(name, folder)
    model = make_model(config, config.student, make_tokenizer(config, []))
    other = without_values(description(model))
    assert other.eos_ids == model.eos_ids and len(other.tokenizer) == len(model.tokenizer)
    weights = zip(other.module.named_parameters(), model.module.named_parameters(), strict=True)
    for (of_other, empty), (name_, weight) in weights:
        assert of_other == name_ and empty.shape == weight.shape and empty.dtype == weight.dtype
        empty.data.copy_(weight)
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        logits = [x.module.eval()(input_ids=ids).logits for x in (other, model)]
    assert torch.equal(*logits)


@pytest.mark.parametrize(("family", "teacher"), TEACHERS.items())
def test_every_student_of_a_family_has_the_tokens_of_its_teacher(family, teacher, folder):
    """Vocabularies may be padded to other sizes."""
    config = settings(f"{family}/{teacher}", folder)
    large = load_frozen(config, config.student)
    for size in sorted(x.stem for x in (CONFIGS / "family" / family).glob("*.yaml")):
        config = settings(f"{family}/{size}", folder)
        tokenizer = make_tokenizer(config, [])
        assert not tokenizer_differences(tokenizer, large.tokenizer), size
        student = make_model(config, config.student, tokenizer)
        assert fit(student, large).vocab_size == student.vocab_size, size
        ids = torch.tensor([[5, 6, 7]])
        logits = map(partial(torch.Tensor.size, dim=-1), (m.module(input_ids=ids).logits
                                                          for m in (student, large)))  # fmt: skip
        assert min(logits) >= student.vocab_size, size


def test_there_is_a_tiny_model_of_every_family():
    names = {x.parent.name for x in (CONFIGS / "family").glob("*/*.yaml")}
    assert names == TEACHERS.keys() and names <= KINDS.keys()
