"""The corpus D_PT of the loss L_PT: a text file with one document per line, in blocks of tokens."""

from pathlib import Path

from minillm.errors import InputError
from minillm.sources.pairs import Pair, PairSource
from minillm.training.setup import Setup


def blocks(setup: Setup) -> list[list[int]]:
    """Join all documents, each followed by EOS, and cut them into blocks of `method.lm_length` ids.

    Raises:
        InputError: no file is named, or the file is missing or too short for one block.
    """
    name = setup.config.data.plain_text
    if name is None:
        raise InputError(
            f"method.lm_coef={setup.config.method.lm_coef} adds the loss L_PT, which needs plain "
            f"text. Add data.plain_text=FILE (one document per line), or set method.lm_coef=0."
        )
    path = Path(name)
    if not path.is_file():
        raise InputError(f"there is no file {path}. Check data.plain_text.")
    tokenizer, length = setup.student.tokenizer, setup.config.method.lm_length
    try:
        with path.open(encoding="utf-8") as lines:
            documents = [line.rstrip("\n") for line in lines if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text. Convert it to UTF-8.") from error
    ids: list[int] = []
    for document in tokenizer(documents, add_special_tokens=False)["input_ids"]:
        ids += [*document, tokenizer.eos_token_id]
    whole = [ids[start : start + length] for start in range(0, len(ids) - length + 1, length)]
    if not whole:
        raise InputError(
            f"{path} has {len(ids)} tokens, too few for one block of method.lm_length={length}. "
            f"Give more text or a smaller method.lm_length."
        )
    return whole


def plain_text_source(setup: Setup) -> PairSource:
    """The source of blocks of plain text. The prompt of each block is a single EOS."""
    eos = setup.student.tokenizer.eos_token_id
    return PairSource(
        [Pair([eos], block) for block in blocks(setup)],
        setup,
        batch_size=setup.config.method.lm_batch_size,
        purpose="plain text",
    )
