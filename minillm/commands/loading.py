"""What the commands load as the settings say: data, tokenizer and models."""

import logging
from collections.abc import Iterable

from minillm.config import Config, ModelConfig
from minillm.data.encoding import Encoded, encode
from minillm.data.records import Record
from minillm.data.sources import load_records
from minillm.data.templates import prompt_text
from minillm.data.tokenizers import load_tokenizer, train_tokenizer
from minillm.errors import InputError
from minillm.models.fit import fit
from minillm.models.heads import check_head
from minillm.models.language_model import (
    LanguageModel,
    build_model,
    check_length,
    load_model,
)
from minillm.models.placement import place

log = logging.getLogger(__name__)


def encode_splits(
    records: dict[str, list[Record]], model_tokenizer, config: Config
) -> dict[str, Encoded]:
    """Encode every split, with a line in the log for each."""
    encoded = {}
    for split, rows in records.items():
        encoded[split] = encode(rows, model_tokenizer, config.data)
        log.info("%s, %s: %s", config.data.name, split, encoded[split].summary())
    return encoded


def read_records(config: Config, splits: Iterable[str]) -> dict[str, list[Record]]:
    """The splits in the order in which they were named."""
    splits = list(splits)
    records = load_records(config.data, splits)
    return {split: records[split] for split in splits}


def make_tokenizer(config: Config, train: list[Record]):
    """The student's tokenizer: named, its own, the teacher's, or trained on the text."""
    for path in (config.student.tokenizer, config.student.path, config.teacher.path):
        if path is not None:
            return load_tokenizer(path)
    if config.data.template == "chat":
        raise InputError(
            "data.template=chat needs a tokenizer with a chat template, but the student is built "
            "from a config. Set student.tokenizer, or take data.template=plain or alpaca."
        )
    texts = [prompt_text(record, config.data.template, None) for record in train]
    texts += [reference for record in train for reference in record.references]
    return train_tokenizer(texts, config.student.vocab_size)


def max_length(config: Config) -> int:
    """Tokens of the longest sequence: a prompt with its response, or a block of plain text."""
    longest = config.data.max_prompt_length + config.data.max_response_length
    if getattr(config.method, "lm_coef", 0):
        longest = max(longest, 1 + config.method.lm_length)
    return longest


def make_model(config: Config, model: ModelConfig, tokenizer) -> LanguageModel:
    """Load or build one model, refusing one with too few positions.

    Raises:
        InputError: neither a path nor an architecture is given, or the model cannot be loaded.
    """
    if model.path is not None:
        loaded = load_model(model, tokenizer)
        check_head(loaded)
        check_length(loaded.module.config, model.path, max_length(config))
        return loaded
    if model.architecture is None:
        raise InputError(
            "no student is given: set student.path=FOLDER_OR_HUB_NAME to load one, or "
            "student.architecture=gpt2 (or llama) to build one."
        )
    return build_model(model, tokenizer, max_length(config), config.runtime.seed)


def make_teacher(config: Config) -> LanguageModel | None:
    """The frozen teacher, where one is named."""
    if config.teacher.path is None:
        return None
    tokenizer = load_tokenizer(config.teacher.tokenizer or config.teacher.path)
    teacher = make_model(config, config.teacher, tokenizer)
    teacher.module.requires_grad_(False).eval()
    return teacher


def join_teacher(
    config: Config, student: LanguageModel, teacher: LanguageModel | None
) -> tuple[LanguageModel, LanguageModel | None]:
    """Student and teacher with one vocabulary, the teacher where the settings want it.

    Raises:
        InputError: their tokenizers differ.
    """
    if teacher is None:
        return student, None
    student, teacher = fit(student, teacher)
    runtime = config.runtime
    return student, place(teacher, student.device, runtime.teacher_device, runtime.teacher_offload)
