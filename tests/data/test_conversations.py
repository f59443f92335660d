"""Conversations become one record per response; training and sampling end a turn with one token."""

import json

import pytest

from minillm.commands.loading import make_model
from minillm.compose import load_config
from minillm.config import DataConfig
from minillm.data.encoding import encode
from minillm.data.loaders import load_records
from minillm.data.records import Message, Record
from minillm.data.templates import prompt_text
from minillm.errors import InputError
from tests.conftest import BUILT, write_jsonl
from tests.data.conversations import END_OF_TURN, SHORT, TALK, chat_tokenizer, sharegpt

MESSAGES = tuple(Message(each["role"], each["content"]) for each in TALK)


def read(path, split="test", **settings):
    config = DataConfig(**{"kind": "jsonl", "template": "chat", "path": str(path)} | settings)
    return load_records(config, {split})[split]


def test_each_response_of_a_conversation_is_one_record(tmp_path):
    """Its prompt is the conversation before it. The last message of the user has no response."""
    file = write_jsonl(tmp_path / "a.jsonl", [{"messages": TALK, "id": 7}])
    assert read(file) == [
        Record("", ("Hello!",), messages=MESSAGES[:2], id="7/1"),
        Record("", ("red",), messages=MESSAGES[:4], id="7/2"),
    ]


@pytest.mark.parametrize(
    ("row", "settings"),
    [
        ({"conversations": sharegpt(TALK)}, {}),
        ({"chosen": TALK}, {"columns": {"messages": "chosen"}}),
        ({"messages": TALK, "prompt": "Hi", "prompt_id": "x"}, {}),  # as in UltraChat
    ],
    ids=["ShareGPT", "named column", "prompt without output"],
)
def test_other_forms_of_conversations_are_read(tmp_path, row, settings):
    expected = read(write_jsonl(tmp_path / "a.jsonl", [{"messages": TALK}]))
    assert len(expected) == 2
    assert read(write_jsonl(tmp_path / "b.jsonl", [row]), **settings) == expected


def test_instruction_and_output_are_read_first(tmp_path):
    row = {"instruction": "ask", "output": "answer", "messages": TALK}
    assert read(write_jsonl(tmp_path / "a.jsonl", [row])) == [Record("ask", ("answer",))]


def test_conversations_with_the_same_prompt_become_one_record(tmp_path):
    lines = [{"messages": SHORT}, {"messages": TALK[1:]}]
    first, second = read(write_jsonl(tmp_path / "a.jsonl", lines))
    assert first.references == ("Hey!", "Hello!") and second.references == ("red",)


def test_all_turns_of_a_conversation_are_in_one_split(tmp_path):
    """A prompt of the training data would otherwise contain responses of the validation data."""
    lines = [
        {"messages": [{"role": "user", "content": f"Hi {i}"}, *TALK[2:], *TALK[2:]]}
        for i in range(10)
    ]
    config = DataConfig(
        kind="jsonl",
        template="chat",
        path=str(write_jsonl(tmp_path / "a.jsonl", lines)),
        validation_size=9,
    )
    splits = load_records(config, {"train", "validation"})
    openings = {name: {record.opening for record in part} for name, part in splits.items()}
    assert len(splits["validation"]) == 12 and len(openings["validation"]) == 3
    assert not openings["train"] & openings["validation"]
    config.validation_size = 37
    with pytest.raises(InputError, match="40 inputs in 10 conversations"):
        load_records(config, {"train"})


def test_a_response_ends_with_the_end_of_turn_of_the_template():
    """The response has the space that the template writes before it. EOS is another token."""
    tokenizer = chat_tokenizer()
    end = tokenizer.convert_tokens_to_ids(END_OF_TURN)
    records = [Record("", ("red",), messages=MESSAGES[:4])]
    (example,) = encode(records, tokenizer, DataConfig(template="chat")).examples
    assert example.response_ids == [[*tokenizer(" red")["input_ids"], end]]
    assert end != tokenizer.eos_token_id
    whole = tokenizer.decode(example.prompt_ids + example.response_ids[0])
    expected = [message._asdict() for message in MESSAGES[:5]]
    assert f"{whole}\n" == tokenizer.apply_chat_template(expected, tokenize=False)
    (plain,) = encode([Record("ask", ("red",))], tokenizer, DataConfig(template="plain")).examples
    assert plain.response_ids[0][-1] == tokenizer.eos_token_id


def test_a_template_without_an_end_of_turn_ends_responses_with_eos():
    tokenizer = chat_tokenizer()
    tokenizer.chat_template = tokenizer.chat_template.replace(END_OF_TURN, ";")
    (example,) = encode([Record("ask", ("red",))], tokenizer, DataConfig(template="chat")).examples
    assert example.response_ids[0][-1] == tokenizer.eos_token_id


def test_sampling_stops_at_the_end_of_a_turn_also_with_the_saved_model(tmp_path):
    tokenizer = chat_tokenizer()
    end = tokenizer.convert_tokens_to_ids(END_OF_TURN)
    config = load_config([*BUILT, "method=sft", "data.template=chat"])
    model = make_model(config, config.student, tokenizer)
    assert {end, tokenizer.eos_token_id} == {*model.eos_ids}
    model.module.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "generation_config.json").read_text())
    assert end in saved["eos_token_id"]


@pytest.mark.parametrize("template", ["plain", "alpaca"])
def test_one_turn_fits_into_the_templates_for_instructions(template):
    conversation = Record("", ("Hello!",), messages=MESSAGES[:2])
    instruction = Record("Be brief.\n\nHi", ("Hello!",))
    assert prompt_text(conversation, template, None) == prompt_text(instruction, template, None)
    with pytest.raises(InputError, match=f"4 messages.*the template {template}.*template=chat"):
        prompt_text(Record("", ("red",), messages=MESSAGES[:4]), template, None)


def test_a_conversation_that_the_template_refuses_is_an_input_error():
    tokenizer = chat_tokenizer()
    tokenizer.chat_template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    )
    with pytest.raises(InputError, match=r"no system role.*roles system, user.*'Hi'"):
        prompt_text(Record("", ("Hello!",), messages=MESSAGES[:2]), "chat", tokenizer)


def test_exported_conversations_can_be_read(command, settings, tmp_path):
    write_jsonl(tmp_path / "train.jsonl", [
        {"messages": [TALK[0], {"role": "user", "content": f"Hi {i}"}, *TALK[2:]], "id": f"row-{i}"}
        for i in range(8)
    ])  # fmt: skip
    chat_tokenizer().save_pretrained(tmp_path / "tokenizer")
    arguments = [*settings, "data.path=.", "data.test=train.jsonl", "data.template=chat",
                 "student.tokenizer=tokenizer", "data.max_prompt_length=200"]  # fmt: skip
    shown = command("data", *arguments, "--export", "copy")
    assert shown.status == 0, shown.err
    assert "16 of 16 test inputs occur" not in shown.out  # some are in the validation split
    assert "10 of 16 test inputs occur in the training data" in shown.out
    original, copy = read("train.jsonl"), read("copy/test.jsonl")
    assert copy == original and len(copy) == 16
    assert read("copy/validation.jsonl") == read("train.jsonl", "validation", validation_size=5)
