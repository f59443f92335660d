"""Loads data, tokenizer and models for the commands, as the settings specify."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from accelerate import PartialState

from minillm.commands.saved_settings import run_of
from minillm.compose import groups
from minillm.config import Config, ModelConfig, StudentConfig
from minillm.data.encoding import Encoded, encode, unused_prompts
from minillm.data.faults import Dropped
from minillm.data.loaders import load_records
from minillm.data.records import Record, count_seen
from minillm.data.templates import prompt_text, response_form
from minillm.data.tokenizers import load_tokenizer, tokenizer_of, train_tokenizer
from minillm.errors import InputError
from minillm.models.adapters import add_adapter, has_adapter
from minillm.models.broadcast import make_on_main
from minillm.models.check import check_model
from minillm.models.fit import tokenizer_differences
from minillm.models.language_model import LanguageModel, build_model, check_finite, load_model
from minillm.models.limits import check_length
from minillm.models.placement import HOST
from minillm.models.quantization import compute_in
from minillm.models.size import outline
from minillm.runs import SUMMARY
from minillm.runtime import autocast_dtype

log = logging.getLogger(__name__)

OWN_DATA = ("chat", "files", "jsonl", "paper")  # files of configs/data that name no data set
MakeModel = Callable[..., LanguageModel]  # `make_model` or `make_outline`


def encode_splits(
    records: dict[str, list[Record]], model_tokenizer, config: Config
) -> dict[str, Encoded]:
    """Encode every split for student and teacher.

    A teacher with another tokenizer reads only the training split, because the inputs of the other
    splits must not depend on its tokens.
    """
    encoded = {}
    tokenizer_of_teacher = teacher_tokenizer(config, model_tokenizer)
    for split, rows in records.items():
        reader = tokenizer_of_teacher if split == "train" else None
        truncates = split == "test" and config.data.long_test_prompts == "truncate"
        encoded[split] = encode(
            rows, model_tokenizer, config.data, reader,
            truncates_prompts=truncates, selects_references=split == "test",
        )  # fmt: skip
        seen = 0 if split == "train" else count_seen(rows, records.get("train", ()))
        if seen:
            log.warning(seen_in_training(split, seen, len(rows)))
    warning = unused_prompts(encoded.values(), config.data)
    if warning:
        log.warning("%s: %s", config.data.name, warning)
    return encoded


def log_splits(splits: dict[str, Encoded], config: Config) -> None:
    """Log one line per split: its size, and what was dropped or cut."""
    for split, encoded in splits.items():
        log.info("%s, %s: %s", config.data.name, split, encoded.summary(config.data))


def seen_in_training(split: str, seen: int, inputs: int) -> str:
    """How many inputs of a split occur in the training data, in words."""
    return f"{seen} of {inputs} {split} inputs occur in the training data"


def check_data_is_named(config: Config) -> None:
    """Refuse settings that name no data.

    Raises:
        InputError: the message lists the data sets of configs/data.
    """
    if config.data.kind is not None:
        return
    given = f"data.path={config.data.path} is set, but " if config.data.path else ""
    names = [name for name in groups()["data"] if name not in OWN_DATA]
    raise InputError(
        f"{given}no data set is named. Add data=jsonl data.path=FOLDER for your own data, or "
        f"data={', '.join(names[:-1])} or {names[-1]}."
    )


def read_records(
    config: Config, splits: Iterable[str], dropped: Dropped | None = None
) -> dict[str, list[Record]]:
    """Read the splits; the result has the order of `splits`.

    Args:
        config: all settings.
        splits: names of splits.
        dropped: receives counts of the rows that cannot be read; None to refuse such rows.

    Raises:
        InputError: no data set is named, or the data cannot be read.
    """
    check_data_is_named(config)
    splits = list(splits)
    records = load_records(config.data, splits, dropped)
    return {split: records[split] for split in splits}


def make_tokenizer(config: Config, train: list[Record]):
    """The student's tokenizer: `student.tokenizer`, or the tokenizer of student or teacher.

    If there is none of these, a tokenizer is trained on the records.

    Raises:
        InputError: there is none of these, and the data have no training split, or chat prompts.
    """
    if config.student.tokenizer is not None:
        return load_tokenizer(config.student.tokenizer)
    for model in (config.student, config.teacher, *config.teacher.members):
        if model.path is not None:
            return load_tokenizer(model.path, model.revision)
    if config.data.test_only:
        raise InputError(
            f"no tokenizer is named, and data.name={config.data.name} has no training split from "
            f"which a tokenizer could be trained (data.test_only=true). Add "
            f"student.path=FOLDER_OR_HUB_NAME or student.tokenizer=FOLDER_OR_HUB_NAME."
        )
    if config.data.template == "chat":
        raise InputError(
            "data.template=chat needs a tokenizer with a chat template, but the student is built "
            "from a config. Set student.tokenizer, data.template=plain or data.template=alpaca."
        )
    texts = [prompt_text(record, config.data.template, None) for record in train]
    texts += [reference for record in train for reference in record.references]
    return train_tokenizer(texts, config.student.vocab_size)


def max_length(config: Config) -> int:
    """Tokens of the longest sequence: a prompt with its response, or a block of plain text."""
    data = config.data
    prompt = max(data.max_prompt_length, data.teacher_prompt_limit)
    longest = max(prompt + data.max_response_length, data.max_length or 0)
    if config.method.lm_coef:
        longest = max(longest, config.method.lm_length)
    return longest


def make_model(
    config: Config, model: ModelConfig, tokenizer, template: str | None = None
) -> LanguageModel:
    """Load or build one model. It ends its responses as the data do, and has the precision of
    `runtime.mixed_precision`.

    Args:
        config: all settings.
        model: the settings of this model.
        tokenizer: its tokenizer.
        template: the template of its prompts; None for `data.template`.

    Raises:
        InputError: neither a path nor an architecture is given, the model cannot be loaded, its
            weights are not finite, it has too few positions, or `check_model` refuses it.
    """
    attention = config.runtime.attn_implementation
    if model.path is not None:
        loaded = load_model(model, tokenizer, attention)
        check_finite(loaded)
        check_length(loaded.module.config, model.path, max_length(config))
        _check(loaded, config)
        return completed(_adapted(loaded, config, model), config, template)
    check_is_given(model)
    built = build_model(model, tokenizer, max_length(config), config.runtime.seed, attention)
    return completed(built, config, template)


def make_outline(
    config: Config, model: ModelConfig, tokenizer, template: str | None = None
) -> LanguageModel:
    """One model on the meta device. No weights are read, so they are not checked.

    The arguments are those of `make_model`.

    Raises:
        InputError: neither a path nor an architecture is given, the model is not a causal language
            model, or it has too few positions or output rows.
    """
    check_is_given(model)
    if model.load_in_4bit:
        raise InputError(
            "load_in_4bit=true is not allowed here: minillm plan cannot count the memory of 4-bit "
            "weights. Leave it out, or measure a step with minillm plan --measure and "
            "load_in_4bit=false."
        )
    attention = config.runtime.attn_implementation
    made = outline(model, tokenizer, max_length(config), attention)
    if model.path is not None:
        check_length(made.module.config, model.path, max_length(config))
    return completed(_adapted(made, config, model), config, template)


def check_is_given(model: ModelConfig) -> None:
    """Refuse a student that is neither loaded nor built.

    Raises:
        InputError: the message says what to set.
    """
    if model.path is None and model.architecture is None:
        raise InputError(
            "no student is given: set student.path=FOLDER_OR_HUB_NAME to load one, or "
            "student.architecture=gpt2 (or llama) to build one."
        )


def _check(model: LanguageModel, config: Config) -> None:
    """Apply `check_model` in float32 on the CPU, or with FlashAttention as the run will compute.

    FlashAttention has neither float32 nor kernels for a CPU.
    """
    if not config.runtime.uses_flash_attention:
        check_model(model)
        return
    check_model(replace(model, autocast=autocast_dtype(config)).to(PartialState().device))
    model.to(HOST)


def _adapted(model: LanguageModel, config: Config, settings: ModelConfig) -> LanguageModel:
    """The model with the new adapter of its settings, if they are those of a student with LoRA.

    Raises:
        InputError: the model has an adapter already, or cannot have this adapter.
    """
    if not isinstance(settings, StudentConfig):
        return model
    lora = settings.lora
    if lora.rank is not None:
        if has_adapter(model.module):
            raise InputError(
                f"student.lora.rank={lora.rank} is not allowed with student.path={settings.path}, "
                f"which is an adapter already. Leave student.lora.rank out to train this adapter, "
                f"or give the folder of a merged model."
            )
        add_adapter(model.module, lora, config.runtime.seed)
    return replace(model, saves_adapter_only=lora.saves == "adapter")


def completed(model: LanguageModel, config: Config, template: str | None) -> LanguageModel:
    """The model with the precision of the settings, and with the EOS tokens of its template.

    The token that ends a turn of the chat template is one of the EOS tokens.
    """
    model = replace(model, autocast=autocast_dtype(config))
    compute_in(model.module, model.autocast or model.module.dtype)
    end_id = response_form(model.tokenizer, template or config.data.template).end_id
    if end_id in model.eos_ids:
        return model
    eos_ids = (*model.eos_ids, end_id)
    model.module.generation_config.eos_token_id = list(eos_ids)  # is saved with the weights
    return replace(model, eos_ids=eos_ids)


def load_frozen(config: Config, model: ModelConfig, make: MakeModel = make_model) -> LanguageModel:
    """A frozen model, such as a teacher, that the main process makes by `make`.

    `models.broadcast.make_on_main` describes the model of the other processes. A warning names a
    run that is not finished, because it may still change the model.

    Raises:
        InputError: the model cannot be loaded.
    """
    run = run_of(Path(model.path or ""))
    if run and not (run / SUMMARY).is_file():
        log.warning("%s is a run that is not finished: its model may still change", run)
    tokenizer = tokenizer_of(model)
    template = config.data.teacher_template or config.data.template
    loaded = make_on_main(
        partial(make, config, model, tokenizer, template), everywhere=model.load_in_4bit
    )
    loaded.module.requires_grad_(False).eval()
    return loaded


def teacher_tokenizer(config: Config, tokenizer):
    """The tokenizer of `teacher.path` if it differs from the student's `tokenizer`, else None."""
    if config.teacher.path is None:
        return None
    loaded = tokenizer_of(config.teacher)
    return loaded if tokenizer_differences(tokenizer, loaded) else None
