"""Prompt templates: named functions that build the text of a prompt from a record.

`alpaca` is the text in the `prompt` field of the paper's data sets (wording of Stanford Alpaca).
`plain` is for task data that need no instruction, such as E2E. `chat` is the chat template of the
model's tokenizer. `ready` is the text in the data's column of prompts. Only `chat` renders
conversations of several turns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from minillm.data.conversations import single_turn
from minillm.data.records import Message, Record
from minillm.errors import InputError, first_line

ALPACA_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n"
)
ALPACA_WITHOUT_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes "
    "the request.\n\n### Instruction:\n{instruction}\n\n### Response:\n"
)


def alpaca(record: Record, tokenizer: PreTrainedTokenizerBase) -> str:
    """The Alpaca prompt, with or without an input section."""
    template = ALPACA_WITH_INPUT if record.input else ALPACA_WITHOUT_INPUT
    return template.format(instruction=_instruction(record, "alpaca"), input=record.input)


def plain(record: Record, tokenizer: PreTrainedTokenizerBase) -> str:
    """Instruction and input, each on its own line."""
    parts = (_instruction(record, "plain"), record.input)
    return "".join(f"{part}\n" for part in parts if part)


def _instruction(record: Record, template: str) -> str:
    if record.messages is None:
        return record.instruction
    return single_turn(record.messages, template)


def chat(record: Record, tokenizer: PreTrainedTokenizerBase) -> str:
    """The conversation in the tokenizer's chat template, and the start of the model's turn.

    A record without messages is one message of the user.

    Raises:
        InputError: the tokenizer has no chat template, or the template refuses the conversation.
    """
    content = "\n\n".join(part for part in (record.instruction, record.input) if part)
    messages = record.messages or (Message("user", content),)
    return _render(messages, tokenizer, add_generation_prompt=True)


def _render(
    messages: Sequence[Message], tokenizer: PreTrainedTokenizerBase, *, add_generation_prompt: bool
) -> str:
    if tokenizer.chat_template is None:
        raise InputError(
            f"data.template=chat (or data.teacher_template=chat): the tokenizer of "
            f"{tokenizer.name_or_path} has no chat template. Use the template plain or alpaca, or "
            f"use a chat model."
        )
    try:
        return tokenizer.apply_chat_template(
            [message._asdict() for message in messages],
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
        )
    except TemplateError as error:
        raise InputError(
            f"the chat template of {tokenizer.name_or_path} refuses a conversation: "
            f"{first_line(error)}. The conversation has the roles "
            f"{', '.join(message.role for message in messages)}, and its last message is "
            f"{messages[-1].content[:60]!r}. Change this conversation, or use another model."
        ) from error


def ready(record: Record, tokenizer: PreTrainedTokenizerBase) -> str:
    """The prompt of the data, as it is."""
    return record.prompt


def demonstration(record: Record, tokenizer: PreTrainedTokenizerBase) -> str:
    """The plain prompt with the first reference as an example of a good response.

    A template for teachers: the same model with this prompt can teach itself without it
    (self-distillation, arXiv 2601.19897).
    """
    return (
        f"{plain(record, tokenizer)}\nAn example of a good response:\n{record.references[0]}\n\n"
        f"Response:\n"
    )


TEMPLATES = {
    "alpaca": alpaca, "plain": plain, "chat": chat, "ready": ready, "demonstration": demonstration
}  # fmt: skip


def prompt_text(record: Record, template: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """The prompt that `template` makes of the record."""
    return TEMPLATES[template](record, tokenizer)


def teacher_prompt_text(
    record: Record, template: str | None, tokenizer: PreTrainedTokenizerBase
) -> str | None:
    """The teacher's own prompt: the record's, or what `template` makes; None without both."""
    if record.teacher_prompt is not None:
        return record.teacher_prompt
    return template and prompt_text(record, template, tokenizer)


@dataclass(frozen=True)
class ResponseForm:
    """The text that a template writes before a response, and the token that ends the response."""

    before: str
    end_id: int


def response_form(tokenizer: PreTrainedTokenizerBase, template: str | None) -> ResponseForm:
    """How responses are written after the prompts of a template: by default, EOS ends them.

    A chat template ends the model's turn with a token of its own, which may differ from EOS, such
    as `<end_of_turn>`. A rendered example shows this token: it is the first added token after the
    response. If the template writes no such token, EOS ends the response.
    """
    if template != "chat" or tokenizer.chat_template is None:
        return ResponseForm("", tokenizer.eos_token_id)
    question, response = Message("user", "Question"), Message("assistant", "Response")
    prompt = _render([question], tokenizer, add_generation_prompt=True)
    text = _render([question, response], tokenizer, add_generation_prompt=False)
    before, _, after = text.rpartition(response.content)
    ids = tokenizer(after, add_special_tokens=False)["input_ids"]
    added_ids = [i for i in ids if i in tokenizer.added_tokens_decoder]
    return ResponseForm(
        before=before.removeprefix(prompt) if before.startswith(prompt) else "",
        end_id=added_ids[0] if added_ids else tokenizer.eos_token_id,
    )
