"""Writes plain text as blocks of token ids, into a NumPy file that is memory-mapped.

The ids of all documents are one sequence, so the blocks do not depend on the number of processes
that tokenise the text. While the blocks are written, FILE.npy has the name `.FILE.npy.part`, and
`.FILE.npy.state` says how much of the text is in it. A process that stops or is killed leaves these
two files, and the next one goes on from there.
"""

import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout
from transformers import PreTrainedTokenizerBase

from minillm.data.documents import Chunk, ChunkReader, read_in_order, spans, useful_workers
from minillm.data.faults import Dropped, RowError, dropped_text, with_dropped
from minillm.data.tokenizers import tokenizer_record
from minillm.errors import InputError, TrainingError, first_line
from minillm.files import aside_of, check_writable, write_json
from minillm.progress import Progress, shown
from minillm.runs import provenance

log = logging.getLogger(__name__)

LOCK_SECONDS = 30.0
# Between two states. A killed process loses the work since the last one.
STATE_SECONDS = 10.0


@dataclass(frozen=True)
class BlockFile:
    """The blocks of a text, which need not be written yet.

    Attributes:
        text: the file of the text.
        version: size and time of change of the text when its content was read for `sha256`.
        sha256: the checksum of the text.
        length: tokens of a block.
        path: the NumPy file.
        checksum: identifies text, tokenizer and length; a part of the name of `path`.
    """

    text: Path
    version: tuple[int, int]
    sha256: str
    length: int
    path: Path
    checksum: str

    @property
    def record(self) -> Path:
        """The json file beside the blocks: what they hold, and how they were made."""
        return self.path.with_suffix(".json")


def version_of(text: Path) -> tuple[int, int]:
    """Size and time of change of a file."""
    status = text.stat()
    return status.st_size, status.st_mtime_ns


@dataclass(frozen=True)
class State:
    """How much of a text has been written.

    Attributes:
        end: bytes of the text.
        tokens: token ids, with EOS after each document.
        documents, lines, empty_lines: numbers of these.
        dropped: the lines that were dropped.
    """

    end: int = 0
    tokens: int = 0
    documents: int = 0
    lines: int = 0
    empty_lines: int = 0
    dropped: Dropped = field(default_factory=dict)

    def after(self, chunk: Chunk) -> "State":
        """The state after the next chunk. Its lines that cannot be read are dropped."""
        dropped = self.dropped
        for line, kind, _ in chunk.faults:
            dropped = with_dropped(dropped, kind, f"line {self.lines + line}")
        return replace(
            self,
            end=chunk.end,
            tokens=self.tokens + len(chunk.ids),
            documents=self.documents + chunk.documents,
            lines=self.lines + chunk.lines,
            empty_lines=self.empty_lines + chunk.empty_lines,
            dropped=dropped,
        )


def prepare(
    blocks: BlockFile,
    tokenizer: PreTrainedTokenizerBase,
    *,
    workers: int = 0,
    drops_malformed: bool = False,
) -> Iterator[None]:
    """Write the blocks unless the file exists. Yields after each chunk of the text.

    If another process writes the same file, this process waits for it.

    Args:
        blocks: the text and the file.
        tokenizer: makes the ids.
        workers: number of processes that tokenise; 0 for this process.
        drops_malformed: whether lines that cannot be read are dropped and counted.

    Raises:
        InputError: the text cannot be read or is too short, or the folder is read-only.
        TrainingError: the file could not be written, or a worker process has ended.
    """
    file = blocks.path
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
            yield from _write(blocks, tokenizer, workers, drops_malformed)
    except OSError as error:
        raise TrainingError(
            f"{file} could not be written: {first_line(error)}. Make room, or give another "
            f"data.plain_text_cache=FOLDER, and run the same command again."
        ) from error
    finally:
        lock.release()


def _write(
    blocks: BlockFile, tokenizer: PreTrainedTokenizerBase, workers: int, drops_malformed: bool
) -> Iterator[None]:
    text, size = blocks.text, blocks.version[0]
    reader = ChunkReader(text, tokenizer, _id_type(tokenizer))
    part, state_file = aside_of(blocks.path), blocks.path.with_name(f".{blocks.path.name}.state")
    header = _header(reader.dtype, (0, blocks.length))
    state = _saved_state(state_file, part, len(header), reader.dtype) or State()
    if state.dropped and not drops_malformed:
        raise InputError(
            f"{part} is the work of an interrupted `minillm data prepare --drop-malformed`, which "
            f"has dropped lines of {text}: {dropped_text(state.dropped)}. Run that command again, "
            f"or delete {part} and correct the text."
        )
    log.info("plain text: %s is tokenised once, into %s, with %d byte(s) per token%s", text,
             blocks.path, reader.dtype.itemsize,
             f", after {state.end} of {size} bytes that are done" * bool(state.end))  # fmt: skip
    workers = useful_workers(workers, size - state.end)
    progress = Progress("plain text", size // 10**6, "MB", state.end // 10**6)
    next_save = time.monotonic() + STATE_SECONDS
    with part.open("r+b" if state.end else "wb") as file, shown(progress):
        file.write(header)
        file.truncate(len(header) + state.tokens * reader.dtype.itemsize)
        file.seek(0, os.SEEK_END)
        try:
            with closing(_append(file, reader, state, workers, drops_malformed)) as states:
                for state in states:
                    progress.advance(state.end // 10**6 - progress.done)
                    if time.monotonic() >= next_save:
                        _save(state, file, state_file)
                        next_save = time.monotonic() + STATE_SECONDS
                    yield
            _finish(file, reader.dtype, blocks, state)
        except InputError:
            part.unlink()
            state_file.unlink(missing_ok=True)
            raise
        except BaseException:
            with suppress(OSError):
                _save(state, file, state_file)
                log.info("plain text: stopped after %d of %d bytes. The same command goes on from "
                         "there.", state.end, size)  # fmt: skip
            raise
    write_json(blocks.record, _record(blocks, tokenizer, state))
    part.replace(blocks.path)
    state_file.unlink(missing_ok=True)


def _append(
    file: BinaryIO, reader: ChunkReader, state: State, workers: int, drops_malformed: bool
) -> Iterator[State]:
    """Write the chunks that follow a state; yields the state after each."""
    for chunk in read_in_order(reader, spans(reader.text, state.end), workers):
        if chunk.faults and not drops_malformed:
            line, kind, message = chunk.faults[0]
            raise RowError(f"{reader.text}, line {state.lines + line}{message}", kind)
        file.write(chunk.ids)
        state = state.after(chunk)
        yield state


def _id_type(tokenizer: PreTrainedTokenizerBase) -> np.dtype:
    return np.min_scalar_type(max(tokenizer.get_vocab().values()))


def _saved_state(state_file: Path, part: Path, header: int, dtype: np.dtype) -> State | None:
    """The state of an interrupted preparation; None if there is none, or if ids are missing."""
    try:
        state = State(**json.loads(state_file.read_text(encoding="utf-8")))
        is_whole = part.stat().st_size >= header + state.tokens * dtype.itemsize
    except (FileNotFoundError, TypeError, ValueError):  # a computer that crashed may cut the file
        return None
    return state if is_whole else None


def _save(state: State, file: BinaryIO, state_file: Path) -> None:
    """Write the state, after the ids that it counts are on the disk."""
    file.flush()
    os.fsync(file.fileno())
    write_json(state_file, asdict(state))


def _finish(file: BinaryIO, dtype: np.dtype, blocks: BlockFile, state: State) -> None:
    """Write the number of blocks, and remove the ids that do not fill a block."""
    count = state.tokens // blocks.length
    if not count:
        raise InputError(
            f"{blocks.text} has {state.tokens} tokens, too few for one block of method.lm_length="
            f"{blocks.length}. Give more text or a smaller method.lm_length."
        )
    if version_of(blocks.text) != blocks.version:
        raise InputError(
            f"{blocks.text} was changed while it was read. Run the same command again when no "
            f"other program writes to this file."
        )
    file.flush()
    os.fsync(file.fileno())  # if the disk is full, this fails before ids are removed
    header = _header(dtype, (count, blocks.length))
    file.seek(0)
    file.write(header)
    file.truncate(len(header) + count * blocks.length * dtype.itemsize)
    file.flush()
    os.fsync(file.fileno())


def _header(dtype: np.dtype, shape: tuple[int, int]) -> bytes:
    """The header of a NumPy file. NumPy leaves room in it for a larger number of blocks."""
    header = BytesIO()
    fields = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, fields)
    return header.getvalue()


def _record(blocks: BlockFile, tokenizer: PreTrainedTokenizerBase, state: State) -> dict[str, Any]:
    """What the blocks hold, what of the text they do not hold, and how they were made."""
    count = state.tokens // blocks.length
    return {
        "text": {"path": str(blocks.text), "bytes": blocks.version[0], "sha256": blocks.sha256},
        "tokenizer": tokenizer_record(tokenizer),
        "block_length": blocks.length,
        "blocks": count,
        "lines": state.lines,
        "documents": state.documents,
        "tokens": state.tokens,
        "unused_tokens": state.tokens - count * blocks.length,
        "empty_lines": state.empty_lines,
        "dropped_lines": state.dropped,
        "provenance": provenance(),
    }
