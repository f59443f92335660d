"""Prompts: the Alpaca text of the paper's data, plain text, and chat templates."""

import json
from pathlib import Path

import pytest

from minillm.data.records import Record
from minillm.data.templates import prompt_text
from minillm.data.tokenizers import load_tokenizer, train_tokenizer
from minillm.errors import InputError

INSTRUCTIONS = Path(__file__).parents[3] / "shared" / "data" / "instruction-eval"
CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.mark.skipif(not INSTRUCTIONS.is_dir(), reason=f"{INSTRUCTIONS} does not exist")
@pytest.mark.parametrize("name", ["dolly", "self_inst", "sinst_11plus"])
def test_alpaca_is_the_prompt_of_the_papers_data(name):
    with open(INSTRUCTIONS / f"{name}.jsonl", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    prompts = [
        prompt_text(Record(row["instruction"], ("x",), row["input"]), "alpaca", None)
        for row in rows
    ]
    assert prompts == [row["prompt"] for row in rows] and len(prompts) > 100


def test_plain_is_instruction_and_input_on_one_line_each():
    assert prompt_text(Record("ask", ("x",)), "plain", None) == "ask\n"
    assert prompt_text(Record("ask", ("x",), "this"), "plain", None) == "ask\nthis\n"


def test_ready_prompts_are_not_changed():
    assert prompt_text(Record("ask", ("x",), prompt="Q: ask"), "ready", None) == "Q: ask"


def test_chat_uses_the_template_of_the_tokenizer():
    tokenizer = train_tokenizer(["some text"], 300)
    with pytest.raises(InputError, match=r"data\.template=chat.*no chat template.*plain"):
        prompt_text(Record("ask", ("x",)), "chat", tokenizer)
    tokenizer.chat_template = CHAT
    text = prompt_text(Record("ask", ("x",), "this"), "chat", tokenizer)
    assert text == "<|user|>ask\n\nthis<|assistant|>"


def test_chat_needs_the_tokenizer_of_a_chat_model(refused, teacher):
    assert "student.tokenizer" in refused("data.template=chat", "student.architecture=gpt2")
    assert load_tokenizer(str(teacher / "best")).chat_template is None
    assert "no chat template" in refused("data.template=chat", f"student.path={teacher}/best")
