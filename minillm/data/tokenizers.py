"""Tokenizers: loaded for a pretrained model, trained on the training text for a built one."""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from minillm.errors import InputError, first_line

END_OF_TEXT = "<|endoftext|>"


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of at most `vocab_size` tokens, the same for the same texts.

    As in GPT-2, one token ends a sequence and pads: masks, never ids, tell the two apart.
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


def load_tokenizer(path: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or Hub name; one without a pad token pads with its EOS.

    Raises:
        InputError: there is none, or it has no end-of-sequence token.
    """
    where = path if Path(path).is_dir() else f"{path} (no folder here, so a Hub name)"
    advice = "Give a folder that holds tokenizer.json, or a Hub name."
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no tokenizer could be loaded from {where}: {first_line(error)}. {advice}"
        ) from error
    # Without its files, some classes come up with special tokens alone.
    if not tokenizer.get_vocab().keys() - set(tokenizer.all_special_tokens):
        raise InputError(f"there is no tokenizer in {where}. {advice}")
    if tokenizer.eos_token_id is None:
        raise InputError(f"the tokenizer of {path} has no end-of-sequence token; one is needed.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
