"""Encodes records as token ids; drops long prompts, cuts long responses, and counts both."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerBase

from minillm.config import DataConfig
from minillm.data.batches import PromptBatch
from minillm.data.records import Record
from minillm.data.templates import prompt_text, response_form, teacher_prompt_text
from minillm.errors import InputError


@dataclass(frozen=True)
class Example:
    """One input as text and as token ids, in the views of student and teacher.

    Attributes:
        prompt: the student's prompt.
        references: every right response.
        topic: the kind of task.
        prompt_ids: the student's prompt.
        response_ids: one response for each reference. It ends in EOS, or in the token that ends a
            turn of the chat template, unless it was cut.
        teacher_prompt_ids: the prompt that the teacher reads, in the teacher's tokens; None if the
            teacher reads the student's.
        id: names the example: the id of the record, or a checksum of what the record asks.
    """

    prompt: str
    references: tuple[str, ...]
    topic: str
    prompt_ids: list[int]
    response_ids: list[list[int]]
    teacher_prompt_ids: list[int] | None = None
    id: str = ""


@dataclass(frozen=True)
class Encoded:
    """An encoded split, and the numbers of dropped prompts and cut responses.

    `rows` is the number of rows of the data set (or of assistant turns) that became the examples,
    and `row_name` their name in the summary. Rows with the same input become one example.
    """

    examples: list[Example]
    dropped_prompts: int
    cut_responses: int
    rows: int
    row_name: str = "row"

    def summary(self) -> str:
        """One line for the log."""
        responses = sum(len(example.response_ids) for example in self.examples)
        text = f"{len(self.examples)} inputs, {responses} references"
        merged, name = self.rows - len(self.examples), self.row_name
        if merged:
            text = f"{self.rows} {name}s, {text}: {merged} {name}s have the input of another {name}"
        if self.dropped_prompts:
            text += (
                f"; {self.dropped_prompts} prompts over data.max_prompt_length dropped (or the "
                f"teacher's over data.max_teacher_prompt_length)"
            )
        if self.cut_responses:
            text += f"; {self.cut_responses} responses cut to data.max_response_length"
        return text


def encode(
    records: Sequence[Record],
    tokenizer: PreTrainedTokenizerBase,
    config: DataConfig,
    teacher_tokenizer: PreTrainedTokenizerBase | None = None,
) -> Encoded:
    """Apply the prompt template to the records of a split and tokenise them.

    Args:
        records: the split.
        tokenizer: the student's.
        config: templates and limits.
        teacher_tokenizer: the teacher's, if it differs from the student's.

    Raises:
        InputError: every prompt is longer than `data.max_prompt_length`.
    """
    prompts = [prompt_text(record, config.template, tokenizer) for record in records]
    prompt_ids = _prompt_ids(prompts, tokenizer, config.template)
    teacher_ids = _teacher_prompt_ids(records, prompts, tokenizer, teacher_tokenizer, config)
    references = [text for record in records for text in record.references]
    all_response_ids = iter(encode_responses(references, tokenizer, config.template))
    limit, teacher_limit = config.max_prompt_length, config.max_teacher_prompt_length
    examples, cut, rows = [], 0, 0
    for record, text, ids, teacher in zip(records, prompts, prompt_ids, teacher_ids, strict=True):
        responses = [next(all_response_ids) for _ in record.references]
        if len(ids) > limit or len(teacher or ()) > (teacher_limit or limit):
            continue
        rows += record.rows
        cut += sum(len(response) > config.max_response_length for response in responses)
        examples.append(
            Example(
                prompt=text,
                references=record.references,
                topic=record.topic,
                prompt_ids=ids,
                response_ids=[response[: config.max_response_length] for response in responses],
                teacher_prompt_ids=teacher,
                id=record.id or _checksum(record),
            )
        )
    if not examples:
        shortest = min(map(len, prompt_ids))
        raise InputError(
            f"every prompt ({len(records)}) is longer than data.max_prompt_length={limit} tokens "
            f"(the shortest has {shortest}), or its teacher's prompt is longer than "
            f"data.max_teacher_prompt_length={teacher_limit or limit}. Raise the limit."
        )
    return Encoded(
        examples,
        dropped_prompts=len(records) - len(examples),
        cut_responses=cut,
        rows=rows,
        row_name="assistant turn" if any(record.messages for record in records) else "row",
    )


def encode_responses(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, template: str
) -> list[list[int]]:
    """Token ids of responses after prompts of a template, with the token that ends a response."""
    form = response_form(tokenizer, template)
    texts = [form.before + text for text in texts]
    return [[*ids, form.end_id] for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]


def teacher_prompt_batch(
    examples: Sequence[Example], pad_id: int, device: torch.device
) -> PromptBatch | None:
    """The teacher's own prompts of some examples; None if the teacher reads the student's."""
    if examples[0].teacher_prompt_ids is None:
        return None
    return PromptBatch.pad([x.teacher_prompt_ids for x in examples], pad_id).to(device)


def _prompt_ids(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, template: str | None
) -> list[list[int]]:
    # A chat template writes its own special tokens; for other templates the tokenizer adds them.
    return tokenizer(list(texts), add_special_tokens=template != "chat")["input_ids"]


def _teacher_prompt_ids(
    records: Sequence[Record],
    prompts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    teacher_tokenizer: PreTrainedTokenizerBase | None,
    config: DataConfig,
) -> list[list[int] | None]:
    """What the teacher reads for each record; None where it reads the student's prompt ids."""
    reader = teacher_tokenizer or tokenizer
    texts = [teacher_prompt_text(record, config.teacher_template, reader) for record in records]
    if not teacher_tokenizer and not any(texts):
        return [None] * len(records)
    if teacher_tokenizer:  # a chat template of the student would be nonsense to the teacher
        prompts = [
            text or prompt_text(record, config.template, reader)
            for text, record in zip(texts, records, strict=True)
        ]
    texts = [text or prompt for text, prompt in zip(texts, prompts, strict=True)]
    return _prompt_ids(texts, reader, config.teacher_template or config.template)


def _checksum(record: Record) -> str:
    messages = [text for message in record.messages or () for text in message]
    asked = "\0".join([record.instruction, record.input, record.prompt or "", *messages])
    return hashlib.sha256(asked.encode()).hexdigest()[:12]
