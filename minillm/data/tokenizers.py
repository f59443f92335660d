"""Loads the tokenizer of a pretrained model, or trains one on the training text for a new model."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.tokenization_utils_base import TOKENIZER_CONFIG_FILE

from minillm.adapter_paths import adapter_base
from minillm.compat import hub
from minillm.config import ModelConfig
from minillm.errors import InputError
from minillm.folders import near_folders

TOKENIZER_CONFIG = "tokenizer_config.json"
END_OF_TEXT = "<|endoftext|>"


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE of at most `vocab_size` tokens; equal texts give equal tokenizers.

    As in GPT-2, one token is both EOS and the pad token. Only masks distinguish the two.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=END_OF_TEXT, eos_token=END_OF_TEXT, pad_token=END_OF_TEXT
    )


def tokenizer_of(model: ModelConfig) -> PreTrainedTokenizerBase:
    """The tokenizer of a model that is loaded: `model.tokenizer`, or that of `model.path`.

    Raises:
        InputError: as `load_tokenizer`.
    """
    if model.tokenizer is not None:
        return load_tokenizer(model.tokenizer)
    return load_tokenizer(model.path, model.revision)


def load_tokenizer(path: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a folder or Hub name; without a pad token, EOS becomes the pad token.

    An adapter on the Hub, or in a folder without a tokenizer, has the tokenizer of its base.

    Raises:
        InputError: there is no tokenizer, or it has no end-of-sequence token.
    """
    if not (Path(path) / TOKENIZER_CONFIG).is_file():
        path = adapter_base(path) or path
    source = path
    if not Path(path).is_dir():
        near = near_folders(path)
        hint = f"; a folder here is {' or '.join(near)}" if near else ""
        source = f"{path} (not a folder, so used as a Hub name{hint})"
    hub.prepare(path)
    advice = "Give a folder that holds tokenizer.json, or a Hub name."
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision or "main")
    except Exception as error:  # of many types: a missing package, wrong fields in config.json
        raise InputError(
            f"no tokenizer could be loaded from {source}: "
            f"{hub.absence(path, error, revision)}. {advice}"
        ) from error
    hub.note_model(path, revision, TOKENIZER_CONFIG_FILE)
    # Without their files, some tokenizer classes load with special tokens only.
    if not tokenizer.get_vocab().keys() - set(tokenizer.all_special_tokens):
        raise InputError(f"there is no tokenizer in {source}. {advice}")
    if tokenizer.eos_token_id is None:
        raise InputError(
            f"the tokenizer of {path} has no end-of-sequence token, which is required. Use another "
            f"tokenizer, or add eos_token to tokenizer_config.json."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def tokenizer_record(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """What identifies a tokenizer for the reader of a json file."""
    return {
        "name": tokenizer.name_or_path,
        "tokens": len(tokenizer),
        "eos_token_id": tokenizer.eos_token_id,
    }
