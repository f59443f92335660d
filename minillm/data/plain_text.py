"""Plain text, the corpus D_PT of L_PT: blocks of token ids in a memory-mapped file.

The documents are joined as in the official code (tools/process_data_pretrain.py): EOS follows each
document, and the ids of all documents together are cut into blocks of `method.lm_length`. The last
ids are not used if they do not fill a block.

The main process, or `minillm data prepare`, writes the blocks once, as a NumPy file
NAME.CHECKSUM.npy (`blocks.py`). The checksum identifies the text, the tokenizer and the length, so
that the file is never used for others. All processes read the file through memory maps, whose pages
the operating system shares. The library `datasets` writes files of the same size, but its own
checksums do not cover the content of a text, and the processes that wait for it end after
`runtime.timeout`.
"""

import hashlib
import json
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from minillm.config import Config
from minillm.data.blocks import BlockFile, prepare, version_of
from minillm.data.documents import is_json
from minillm.data.faults import dropped_text
from minillm.errors import InputError, TrainingError, first_line
from minillm.files import read_json
from minillm.processes import failing_together, from_main, work_on_main

log = logging.getLogger(__name__)

# Raise the number if other code writes other blocks from the same text.
FORMAT = 1


@dataclass(frozen=True)
class PlainText:
    """Blocks of plain text.

    Attributes:
        ids: token ids `[N, L]`: N blocks of L tokens, in a memory-mapped file.
        checksum: identifies text, tokenizer and L.
    """

    ids: np.ndarray
    checksum: str


def check_plain_text(config: Config) -> None:
    """Refuse a missing or wrong corpus, before anything is loaded.

    Raises:
        InputError: L_PT is on and no file is named, or the file cannot be used.
    """
    data, method = config.data, config.method
    if not method.lm_coef:
        if data.plain_text is not None:
            log.warning("data.plain_text=%s is not used, because method.lm_coef=0: the loss L_PT "
                        "is off. Set method.lm_coef=1 to add it.", data.plain_text)  # fmt: skip
        return
    if data.plain_text is None:
        raise InputError(
            f"method.lm_coef={method.lm_coef} adds the loss L_PT, which needs a corpus of plain "
            f"text. Add data.plain_text=FILE (text with one document per line, or .jsonl), or "
            f"train without L_PT: method.lm_coef=0."
        )
    path = Path(data.plain_text)
    if not path.is_file():
        raise InputError(f"there is no file {path}. Check data.plain_text.")
    if path.suffix.lower() in (".json", ".csv", ".parquet"):
        raise InputError(
            f"data.plain_text={path} is neither a text nor a .jsonl file. Give a text file with "
            f'one document per line, or a .jsonl file with one object {{"text": ...}} per line.'
        )
    output, folder = Path(config.output).absolute(), _folder(config).absolute()
    if output in (folder, *folder.parents):
        raise InputError(
            f"data.plain_text_cache={folder} is in output={config.output}, which only holds files "
            f"of the run. Give another data.plain_text_cache=FOLDER."
        )


def load_plain_text(config: Config, tokenizer: PreTrainedTokenizerBase) -> PlainText | None:
    """The blocks of `data.plain_text`, which are written first if need be; None without L_PT.

    Raises:
        InputError: the text cannot be read, or is too short for one block.
        TrainingError: the blocks could not be written.
    """
    if not config.method.lm_coef:
        return None
    blocks = from_main(partial(block_file, config, tokenizer))
    work_on_main(prepare(blocks, tokenizer), InputError, TrainingError)
    with failing_together(InputError):
        ids = _mapped(blocks.path)
    log.info("plain text: %d blocks of %d tokens in %s", *ids.shape, blocks.path)
    dropped = dropped_text((read_json(blocks.record) or {}).get("dropped_lines", {}))
    if dropped:
        log.warning("plain text: these lines are not in the blocks: %s", dropped)
    return PlainText(ids, blocks.checksum)


def block_file(config: Config, tokenizer: PreTrainedTokenizerBase) -> BlockFile:
    """The blocks that a training with these settings reads.

    The whole text is read for its checksum, in a second per gigabyte.

    Raises:
        InputError: the text cannot be read.
    """
    text, length = Path(config.data.plain_text), config.method.lm_length
    try:
        version = version_of(text)
        with text.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{text} cannot be read: {first_line(error)}.") from error
    parts = [FORMAT, sha256, is_json(text), _description(tokenizer), length]
    checksum = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    path = _folder(config) / f"{text.stem}.{checksum}.npy"
    return BlockFile(text, version, sha256, length, path, checksum)


def _folder(config: Config) -> Path:
    return Path(config.data.plain_text_cache or Path(config.data.plain_text).parent)


def _description(tokenizer: PreTrainedTokenizerBase) -> list:
    """Everything that the ids of a text depend on."""
    if not tokenizer.is_fast:
        return [type(tokenizer).__name__, tokenizer.get_vocab(), tokenizer.eos_token_id]
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    # A call may change these two, and no document is cut or padded here.
    del content["truncation"], content["padding"]
    return [content, tokenizer.eos_token_id]


def _mapped(file: Path) -> np.ndarray:
    try:
        return np.load(file, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file} cannot be read: {first_line(error)}. All processes must see this file (set "
            f"data.plain_text_cache to a folder that they share). If it is damaged, delete it: the "
            f"next run writes it again."
        ) from error
