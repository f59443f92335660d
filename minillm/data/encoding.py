"""Encodes records as token ids; drops long prompts, cuts long responses, and counts both."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from minillm.config import DataConfig
from minillm.data.records import Record
from minillm.data.templates import prompt_text
from minillm.errors import InputError


@dataclass(frozen=True)
class Example:
    """One input as text and as token ids; each response ends with EOS unless it was cut."""

    prompt: str
    references: tuple[str, ...]
    topic: str
    prompt_ids: list[int]
    response_ids: list[list[int]]  # one response per reference


@dataclass(frozen=True)
class Encoded:
    """An encoded split, and the numbers of dropped prompts and cut responses."""

    examples: list[Example]
    dropped_prompts: int
    cut_responses: int

    def summary(self) -> str:
        """One line for the log."""
        responses = sum(len(example.response_ids) for example in self.examples)
        text = f"{len(self.examples)} inputs, {responses} references"
        if self.dropped_prompts:
            text += f"; {self.dropped_prompts} prompts over data.max_prompt_length dropped"
        if self.cut_responses:
            text += f"; {self.cut_responses} responses cut to data.max_response_length"
        return text


def encode(
    records: Sequence[Record], tokenizer: PreTrainedTokenizerBase, config: DataConfig
) -> Encoded:
    """Apply the prompt template to the records of a split and tokenise them.

    Raises:
        InputError: every prompt is longer than `data.max_prompt_length`.
    """
    prompts = [prompt_text(record, config.template, tokenizer) for record in records]
    # A chat template writes the special tokens itself; for other templates the tokenizer adds them.
    add_special_tokens = config.template != "chat"
    all_prompt_ids = tokenizer(prompts, add_special_tokens=add_special_tokens)["input_ids"]
    references = [text for record in records for text in record.references]
    all_response_ids = iter(tokenizer(references, add_special_tokens=False)["input_ids"])
    limit = config.max_response_length
    examples, cut = [], 0
    for record, prompt, prompt_ids in zip(records, prompts, all_prompt_ids, strict=True):
        responses = [[*next(all_response_ids), tokenizer.eos_token_id] for _ in record.references]
        if len(prompt_ids) > config.max_prompt_length:
            continue
        cut += sum(len(ids) > limit for ids in responses)
        examples.append(
            Example(
                prompt=prompt,
                references=record.references,
                topic=record.topic,
                prompt_ids=prompt_ids,
                response_ids=[ids[:limit] for ids in responses],
            )
        )
    if not examples:
        shortest = min(map(len, all_prompt_ids))
        raise InputError(
            f"all {len(records)} prompts are longer than data.max_prompt_length="
            f"{config.max_prompt_length} tokens (the shortest has {shortest}). Raise the limit."
        )
    return Encoded(examples, dropped_prompts=len(records) - len(examples), cut_responses=cut)
