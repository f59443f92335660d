"""Encodes records as token ids; drops or cuts what is too long, and counts it."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf

import torch
from transformers import PreTrainedTokenizerBase

from minillm.config import DataConfig
from minillm.data.batches import PromptBatch
from minillm.data.records import Record
from minillm.data.templates import prompt_text, teacher_prompt_text
from minillm.data.token_ids import (
    ResponseTokens,
    encode_prompts,
    encode_responses,
    response_limit,
)
from minillm.errors import InputError


@dataclass(frozen=True)
class Example:
    """One input as text and as token ids, in the views of student and teacher.

    Attributes:
        prompt: the student's prompt, without what was cut.
        references: every right response.
        topic: the kind of task.
        prompt_ids: the student's prompt.
        response_ids: one response for each reference. It ends in EOS, or in the token that ends a
            turn of the chat template, unless it was cut.
        teacher_prompt_ids: the prompt that the teacher reads, in the teacher's tokens; None if the
            teacher reads the student's.
        id: names the example: the id of the record, or a checksum of what the record asks.
        label_ids: tokens of each label word of `data.labels`, in order and without EOS; empty
            without label words.
        label: index of the label word that is the first reference; -1 without label words.
        task: what the record asks, without a template, for readers of the responses.
    """

    prompt: str
    references: tuple[str, ...]
    topic: str
    prompt_ids: list[int]
    response_ids: list[list[int]]
    teacher_prompt_ids: list[int] | None = None
    id: str = ""
    label_ids: tuple[list[int], ...] = ()
    label: int = -1
    task: str = ""


@dataclass(frozen=True)
class Encoded:
    """An encoded split, and the numbers of what was dropped, cut or merged.

    Attributes:
        examples: the inputs.
        records: the record of each example.
        dropped_prompts: inputs whose prompt is too long.
        dropped_references: inputs whose first reference is not as long as the settings want
            (`data.min_reference_length`, `data.max_reference_length`).
        cut_prompts: inputs whose prompt lost its last tokens (`data.long_test_prompts=truncate`).
        cut_responses: responses that lost their last tokens.
        crossing_responses: responses that have a token in common with their prompt
            (`data.tokenize=joint`, see `encode_responses`).
        unused_prompts: inputs whose ready prompt in the data differs from the prompt of the
            template.
        rows: number of rows of the data set (or of assistant turns) that became the examples. Rows
            with the same input become one example, unless `data.duplicates=keep`.
        row_name: their name in the summary.
    """

    examples: list[Example]
    records: list[Record]
    dropped_prompts: int
    dropped_references: int
    cut_prompts: int
    cut_responses: int
    crossing_responses: int
    unused_prompts: int
    rows: int
    row_name: str = "row"

    @property
    def merged_rows(self) -> int:
        """Number of rows that became another reference of an earlier row with the same input."""
        return self.rows - len(self.examples)

    def summary(self, config: DataConfig) -> str:
        """One line for the log. `config` are the settings of the encoding."""
        responses = sum(len(example.response_ids) for example in self.examples)
        text = f"{len(self.examples)} inputs, {responses} references"
        merged, name = self.merged_rows, self.row_name
        if merged:
            text = f"{self.rows} {name}s, {text}: {merged} {name}s have the input of another {name}"
        over, to, limit = "", "", "max_response_length"
        if any(example.teacher_prompt_ids is not None for example in self.examples):
            over = " (or the teacher's over data.max_teacher_prompt_length)"
            to = " (or the teacher's to data.max_teacher_prompt_length)"
        if config.max_length is not None:
            limit = "max_length with their prompt"
        changes = {
            f"prompts over data.max_prompt_length{over} dropped": self.dropped_prompts,
            "inputs dropped, whose first reference is shorter than data.min_reference_length or "
            "longer than data.max_reference_length": self.dropped_references,
            f"prompts cut to their first data.max_prompt_length tokens{to}": self.cut_prompts,
            f"responses cut to data.{limit}": self.cut_responses,
            "responses have a token in common with their prompt": self.crossing_responses,
        }  # fmt: skip
        return "; ".join([text, *(f"{count} {what}" for what, count in changes.items() if count)])


def unused_prompts(splits: Collection[Encoded], config: DataConfig) -> str | None:
    """A line for the log that ready prompts in the data are not used; None if all are used."""
    unused = sum(split.unused_prompts for split in splits)
    if not unused:
        return None
    return (
        f"{unused} of {sum(len(split.examples) for split in splits)} inputs have a ready prompt in "
        f"the column {config.columns.get('prompt', 'prompt')!r}, which is not used, because "
        f"data.template={config.template} makes other prompts. Set data.template=ready to use the "
        f"ready prompts"
    )


def encode(
    records: Sequence[Record],
    tokenizer: PreTrainedTokenizerBase,
    config: DataConfig,
    teacher_tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    truncates_prompts: bool = False,
    selects_references: bool = False,
) -> Encoded:
    """Apply the prompt template to the records of a split and tokenise them.

    Args:
        records: the split.
        tokenizer: the student's.
        config: templates and limits.
        teacher_tokenizer: the teacher's, if it differs from the student's.
        truncates_prompts: whether prompts over the limit keep their first tokens; otherwise they
            are dropped.
        selects_references: whether inputs are dropped whose first reference is shorter than
            `data.min_reference_length` or longer than `data.max_reference_length`.

    Raises:
        InputError: every prompt of student or teacher is longer than its limit, or no first
            reference has a length that is selected.
    """
    tokens = _tokens(records, tokenizer, teacher_tokenizer, config)
    rows = len(tokens)
    if selects_references:
        tokens = _with_selected_references(tokens, config)
    kept = tokens if truncates_prompts else [x for x in tokens if not x.is_too_long(config)]
    if not kept:
        raise _all_too_long(tokens, config)
    examples = [_example(x, tokenizer, config) for x in kept]
    return Encoded(
        examples,
        [x.record for x in kept],
        dropped_prompts=len(tokens) - len(kept),
        dropped_references=rows - len(tokens),
        cut_prompts=sum(x.is_too_long(config) for x in kept),
        cut_responses=sum(
            len(ids) < len(response.ids)
            for example, x in zip(examples, kept, strict=True)
            for ids, response in zip(example.response_ids, x.responses, strict=True)
        ),
        crossing_responses=sum(response.crosses_border for x in kept for response in x.responses),
        unused_prompts=sum(x.record.unused_prompt not in (None, x.prompt) for x in kept),
        rows=sum(x.record.rows for x in kept),
        row_name="assistant turn" if any(record.messages for record in records) else "row",
    )


@dataclass(frozen=True)
class _Tokens:
    """A record with its prompt and all tokens, before anything is dropped or cut."""

    record: Record
    prompt: str
    prompt_ids: list[int]
    teacher_prompt_ids: list[int] | None
    responses: list[ResponseTokens]
    labels: list[ResponseTokens]

    @property
    def reference_length(self) -> int:
        """Tokens of the whole first reference, without the token that ends a response."""
        return len(self.responses[0].ids) - 1

    def is_too_long(self, config: DataConfig) -> bool:
        """Whether the prompt of student or teacher is over its limit."""
        return (
            len(self.prompt_ids) > config.max_prompt_length
            or len(self.teacher_prompt_ids or ()) > config.teacher_prompt_limit
        )


def _all_too_long(tokens: Sequence[_Tokens], config: DataConfig) -> InputError:
    """The error for a split in which every input has a prompt over a limit, with these limits."""
    of_teacher = [len(x.teacher_prompt_ids) for x in tokens if x.teacher_prompt_ids is not None]
    rows = [
        ("prompts", "max_prompt_length", config.max_prompt_length,
         [len(x.prompt_ids) for x in tokens]),
        ("prompts of the teacher", "max_teacher_prompt_length", config.teacher_prompt_limit,
         of_teacher),
    ]  # fmt: skip
    reasons = [
        f"{sum(length > limit for length in lengths)} {what} have more than data.{key}={limit} "
        f"tokens (the shortest of all has {min(lengths)})"
        for what, key, limit, lengths in rows
        if max(lengths, default=0) > limit
    ]
    return InputError(
        f"all {len(tokens)} inputs are dropped: {' and '.join(reasons)}. Raise the limit."
    )


def _tokens(
    records: Sequence[Record],
    tokenizer: PreTrainedTokenizerBase,
    teacher_tokenizer: PreTrainedTokenizerBase | None,
    config: DataConfig,
) -> list[_Tokens]:
    prompts = [prompt_text(record, config.template, tokenizer) for record in records]
    pairs = [
        (prompt, reference)
        for record, prompt in zip(records, prompts, strict=True)
        for reference in record.references
    ]
    responses = iter(encode_responses(pairs, tokenizer, config))
    pairs = [(prompt, word) for prompt in prompts for word in config.labels.values()]
    labels = iter(encode_responses(pairs, tokenizer, config) if pairs else ())
    return [
        _Tokens(
            record,
            *views,
            [*islice(responses, len(record.references))],
            [*islice(labels, len(config.labels))],
        )
        for record, *views in zip(
            records,
            prompts,
            encode_prompts(prompts, tokenizer, config, config.template),
            _teacher_prompt_ids(records, prompts, tokenizer, teacher_tokenizer, config),
            strict=True,
        )
    ]


def _with_selected_references(tokens: list[_Tokens], config: DataConfig) -> list[_Tokens]:
    """The inputs whose first reference has a length that the settings select."""
    least, most = config.min_reference_length, config.max_reference_length
    kept = [x for x in tokens if least <= x.reference_length <= (inf if most is None else most)]
    if not kept:
        lengths = [x.reference_length for x in tokens]
        raise InputError(
            f"no first reference of {len(tokens)} test inputs has a length from "
            f"data.min_reference_length={least} to "
            f"data.max_reference_length={'null' if most is None else most} (tokens without EOS). "
            f"The data have lengths from {min(lengths)} to {max(lengths)}: change these limits."
        )
    return kept


def _example(tokens: _Tokens, tokenizer: PreTrainedTokenizerBase, config: DataConfig) -> Example:
    """Prompts keep their first tokens, as in the official code (data_utils/prompt_datasets.py)."""
    record, prompt = tokens.record, tokens.prompt
    prompt_ids = tokens.prompt_ids[: config.max_prompt_length]
    if len(prompt_ids) < len(tokens.prompt_ids):
        prompt = tokenizer.decode(prompt_ids, skip_special_tokens=config.template != "chat")
    teacher_ids = (
        tokens.teacher_prompt_ids and tokens.teacher_prompt_ids[: config.teacher_prompt_limit]
    )
    end = response_limit(config, prompt_ids, teacher_ids)
    words = [*config.labels.values()]
    return Example(
        prompt=prompt,
        references=record.references,
        topic=record.topic,
        prompt_ids=prompt_ids,
        response_ids=[response.ids[:end] for response in tokens.responses],
        teacher_prompt_ids=teacher_ids,
        id=record.id or _checksum(record),
        label_ids=tuple(label.ids[:-1] for label in tokens.labels),
        label=words.index(record.references[0]) if words else -1,
        task=record.task,
    )


def teacher_prompt_batch(
    examples: Sequence[Example], pad_id: int, device: torch.device
) -> PromptBatch | None:
    """The teacher's own prompts of some examples; None if the teacher reads the student's."""
    if examples[0].teacher_prompt_ids is None:
        return None
    return PromptBatch.pad([x.teacher_prompt_ids for x in examples], pad_id).to(device)


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
    return encode_prompts(texts, reader, config, config.teacher_template or config.template)


def _checksum(record: Record) -> str:
    messages = [text for message in record.messages or () for text in message]
    asked = "\0".join([record.instruction, record.input, record.prompt or "", *messages])
    return hashlib.sha256(asked.encode()).hexdigest()[:12]
