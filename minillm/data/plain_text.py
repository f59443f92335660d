"""Plain text, the corpus D_PT of L_PT: blocks of token ids in a memory-mapped file.

The documents are joined as in the official code (tools/process_data_pretrain.py): EOS follows each
document, and the ids of all documents together are cut into blocks of `method.lm_length`. The last
ids are not used if they do not fill a block.

The main process writes the blocks once, as a NumPy file NAME.CHECKSUM.npy. The checksum identifies
the text, the tokenizer and the length, so that the file is never used for others. All processes
read the file through memory maps, whose pages the operating system shares. The library `datasets`
writes files of the same size, but its own checksums do not cover the content of a text, and the
processes that wait for it end after `runtime.timeout`.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from filelock import FileLock, Timeout
from transformers import PreTrainedTokenizerBase

from minillm.config import Config
from minillm.data.formats import LONE_SURROGATE
from minillm.errors import InputError, TrainingError, first_line
from minillm.files import check_writable, replacing, sync
from minillm.processes import failing_together, work_on_main
from minillm.progress import Progress, shown

log = logging.getLogger(__name__)

# A newline inside of a document in the text files of the official code.
NEWLINE = "<@x(x!>"
# Characters that are tokenised at once. Processes that wait exchange a word after each batch.
BATCH = 1_000_000
LOCK_SECONDS = 30.0
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
    text, length = Path(config.data.plain_text), config.method.lm_length
    checksum = None
    with failing_together(InputError):
        if PartialState().is_main_process:
            checksum = checksum_of(text, tokenizer, length)
    (checksum,) = broadcast_object_list([checksum])
    file = _folder(config) / f"{text.stem}.{checksum}.npy"
    work_on_main(prepare(text, file, tokenizer, length), InputError, TrainingError)
    with failing_together(InputError):
        ids = _mapped(file)
    log.info("plain text: %d blocks of %d tokens in %s", *ids.shape, file)
    return PlainText(ids, checksum)


def _folder(config: Config) -> Path:
    return Path(config.data.plain_text_cache or Path(config.data.plain_text).parent)


def checksum_of(text: Path, tokenizer: PreTrainedTokenizerBase, length: int) -> str:
    """Identifies the blocks of a text. The whole text is read, in a second per gigabyte."""
    try:
        with text.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{text} cannot be read: {first_line(error)}.") from error
    parts = [FORMAT, content, _is_json(text), _description(tokenizer), length]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _description(tokenizer: PreTrainedTokenizerBase) -> list:
    """Everything that the ids of a text depend on."""
    if not tokenizer.is_fast:
        return [type(tokenizer).__name__, tokenizer.get_vocab(), tokenizer.eos_token_id]
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    # A call may change these two, and no document is cut or padded here.
    del content["truncation"], content["padding"]
    return [content, tokenizer.eos_token_id]


def prepare(
    text: Path, file: Path, tokenizer: PreTrainedTokenizerBase, length: int
) -> Iterator[None]:
    """Write the blocks unless the file exists. Yields after each batch of documents.

    If another run writes the same file, this run waits for it.

    Raises:
        InputError: the text cannot be read or is too short, or the folder is read-only.
        TrainingError: the file could not be written.
    """
    if file.exists():
        return
    advice = "Give another data.plain_text_cache=FOLDER."
    check_writable(file.parent, f"the folder {file.parent} of the tokenised text", advice)
    lock = FileLock(file.with_name(f".{file.name}.lock"))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        while not lock.is_locked:
            try:
                lock.acquire(timeout=LOCK_SECONDS)
            except Timeout:
                log.info("plain text: another run writes %s, and this run waits", file)
            yield
        if not file.exists():
            yield from _write(text, file, tokenizer, length)
    except OSError as error:
        raise TrainingError(
            f"{file} could not be written: {first_line(error)}. Make room, or give another "
            f"data.plain_text_cache=FOLDER, and run the same command again."
        ) from error
    finally:
        lock.release()


def _write(
    text: Path, target: Path, tokenizer: PreTrainedTokenizerBase, length: int
) -> Iterator[None]:
    dtype = np.min_scalar_type(max(tokenizer.get_vocab().values()))
    megabytes = text.stat().st_size // 10**6
    log.info("plain text: %s is tokenised once, into %s, with %d byte(s) per token", text, target,
             dtype.itemsize)  # fmt: skip
    with replacing(target) as temporary, shown(Progress("plain text", megabytes, "MB")) as progress:
        with temporary.open("wb") as file:
            _write_header(file, dtype, (0, length))
            count, ids = 0, []
            for documents, end in _batches(text):
                encoded = tokenizer(documents, add_special_tokens=False, verbose=False)
                for document in encoded["input_ids"]:
                    ids += [*document, tokenizer.eos_token_id]
                blocks = len(ids) // length
                np.array(ids[: blocks * length], dtype).tofile(file)
                count, ids = count + blocks, ids[blocks * length :]
                progress.advance(end // 10**6 - progress.done)
                yield
            file.seek(0)
            _write_header(file, dtype, (count, length))
        if not count:
            raise InputError(
                f"{text} has {len(ids)} tokens, too few for one block of method.lm_length="
                f"{length}. Give more text or a smaller method.lm_length."
            )
        sync(temporary)


def _write_header(file, dtype: np.dtype, shape: tuple[int, int]) -> None:
    """The header of a NumPy file. NumPy leaves room in it for a larger number of blocks."""
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _mapped(file: Path) -> np.ndarray:
    try:
        return np.load(file, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file} cannot be read: {first_line(error)}. All processes must see this file (set "
            f"data.plain_text_cache to a folder that they share). If it is damaged, delete it: the "
            f"next run writes it again."
        ) from error


def _batches(text: Path) -> Iterator[tuple[list[str], int]]:
    """Documents of about `BATCH` characters together, and the bytes read so far."""
    batch, characters, end = [], 0, 0
    for document, end in documents(text):
        batch.append(document)
        characters += len(document)
        if characters >= BATCH:
            yield batch, end
            batch, characters = [], 0
    if batch:
        yield batch, end


def documents(text: Path) -> Iterator[tuple[str, int]]:
    """The documents of a file, each with the number of bytes up to its end.

    A line of a text file is a document. As in the official code, `NEWLINE` stands for a newline
    inside of the document, and the newline at the end of the line belongs to the document. A line
    of a .jsonl file is an object with a `text`. Lines without text are skipped.

    Raises:
        InputError: a line is not UTF-8, or not such an object.
    """
    read, end = _from_json if _is_json(text) else _from_line, 0
    with text.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            end += len(line)
            try:
                # Programs of Windows write a byte-order mark at the start of a file.
                document = read(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{text}, line {number} is not UTF-8 text. Convert the file to UTF-8."
                ) from error
            except (ValueError, RecursionError) as error:
                raise InputError(
                    f"{text}, line {number}: {first_line(error)}. Each line must be an object "
                    f'with a text, such as {{"text": "One document."}}.'
                ) from error
            if document.strip():
                yield document, end


def _is_json(text: Path) -> bool:
    return text.suffix.lower() == ".jsonl"


def _from_line(line: str) -> str:
    return line.replace("\r\n", "\n").replace(NEWLINE, "\n")


def _from_json(line: str) -> str:
    if not line.strip():
        return ""
    row = json.loads(line)
    document = row.get("text") if isinstance(row, dict) else None
    if not isinstance(document, str):
        raise ValueError("there is no 'text'")
    if LONE_SURROGATE.search(document):
        raise ValueError("the text holds half of a character (an escape from \\ud800 to \\udfff)")
    return document
