"""Prompt templates: named functions that build the text of a prompt from a record.

`alpaca` is the text in the `prompt` field of the paper's data sets (wording of Stanford Alpaca).
`plain` is for task data that need no instruction, such as E2E. `chat` is the chat template of the
model's tokenizer.
"""

from transformers import PreTrainedTokenizerBase

from minillm.data.records import Record
from minillm.errors import InputError

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
    return template.format(instruction=record.instruction, input=record.input)


def plain(record: Record, tokenizer: PreTrainedTokenizerBase) -> str:
    """Instruction and input, each on its own line."""
    return "".join(f"{part}\n" for part in (record.instruction, record.input) if part)


def chat(record: Record, tokenizer: PreTrainedTokenizerBase) -> str:
    """One user turn in the tokenizer's chat template, followed by the start of the model's turn.

    Raises:
        InputError: the tokenizer has no chat template.
    """
    if tokenizer.chat_template is None:
        raise InputError(
            f"data.template=chat (or data.teacher_template=chat): the tokenizer of "
            f"{tokenizer.name_or_path} has no chat template. Use the template plain or alpaca, or "
            f"use a chat model."
        )
    content = "\n\n".join(part for part in (record.instruction, record.input) if part)
    return tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )


def demonstration(record: Record, tokenizer: PreTrainedTokenizerBase) -> str:
    """The plain prompt with the first reference as an example of a good response.

    A template for teachers: the same model with this prompt can teach itself without it
    (self-distillation, arXiv 2601.19897).
    """
    return (
        f"{plain(record, tokenizer)}\nAn example of a good response:\n{record.references[0]}\n\n"
        f"Response:\n"
    )


TEMPLATES = {"alpaca": alpaca, "plain": plain, "chat": chat, "demonstration": demonstration}


def prompt_text(record: Record, template: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """The prompt of the record if it has one, otherwise the prompt that `template` builds."""
    return record.prompt if record.prompt is not None else TEMPLATES[template](record, tokenizer)


def teacher_prompt_text(
    record: Record, template: str | None, tokenizer: PreTrainedTokenizerBase
) -> str | None:
    """The teacher's own prompt: the record's, or what the template makes; None without both."""
    if record.teacher_prompt is not None:
        return record.teacher_prompt
    return template and TEMPLATES[template](record, tokenizer)
