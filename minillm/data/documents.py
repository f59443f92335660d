"""Documents of a plain text, read in chunks of whole lines and tokenised by one or more processes.

A worker process imports this module, so it imports neither torch nor accelerate.
"""

import json
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from minillm.data.faults import MALFORMED, NOT_UTF8
from minillm.data.formats import LONE_SURROGATE
from minillm.errors import TrainingError, first_line

# A newline inside of a document in the text files of the official code.
NEWLINE = "<@x(x!>"
# Bytes of text that are tokenised at once.
CHUNK = 1_000_000
# Chunks per worker that are in work, or wait to be written.
CHUNKS_PER_WORKER = 3

Span = tuple[int, int]  # first byte of a chunk, and the byte after its last


class Fault(NamedTuple):
    """A line that cannot be read: its number in the chunk, from 1, its fault, and a message."""

    line: int
    kind: str
    message: str


@dataclass
class Documents:
    """The documents of a chunk.

    Attributes:
        texts: the documents.
        lines: number of lines, with those that are no document.
        empty_lines: number of lines without text.
        faults: the lines that cannot be read.
    """

    texts: list[str] = field(default_factory=list)
    lines: int = 0
    empty_lines: int = 0
    faults: list[Fault] = field(default_factory=list)


class Chunk(NamedTuple):
    """The token ids of a chunk, and what it holds.

    Attributes:
        end: bytes of the text up to the end of the chunk.
        lines, empty_lines, documents: numbers of these.
        faults: the lines that cannot be read.
        ids: the ids of all documents `[N]`, each followed by EOS.
    """

    end: int
    lines: int
    empty_lines: int
    documents: int
    faults: list[Fault]
    ids: np.ndarray


@dataclass(frozen=True)
class ChunkReader:
    """Reads chunks of a text as token ids of type `dtype`."""

    text: Path
    tokenizer: PreTrainedTokenizerBase
    dtype: np.dtype

    def __call__(self, span: Span) -> Chunk:
        read = read_documents(self.text, *span)
        ids = self._ids(read.texts) if read.texts else np.empty(0, self.dtype)
        return Chunk(span[1], read.lines, read.empty_lines, len(read.texts), read.faults, ids)

    def _ids(self, texts: list[str]) -> np.ndarray:
        encoded = self.tokenizer(
            texts, add_special_tokens=False, return_attention_mask=False, verbose=False
        )
        end = (self.tokenizer.eos_token_id,)
        ids = chain.from_iterable(chain(document, end) for document in encoded["input_ids"])
        return np.fromiter(ids, self.dtype)


def read_documents(text: Path, start: int = 0, end: int | None = None) -> Documents:
    """The documents in a part of a file; the part consists of whole lines.

    A line of a text file is a document. As in the official code, `NEWLINE` stands for a newline
    inside of the document, and the newline at the end of the line belongs to the document. A line
    of a .jsonl file is an object with a `text`. Lines without text are skipped.

    Args:
        text: the file.
        start, end: the first byte of the part, and the byte after its last; None for the whole
            file.
    """
    read = Documents()
    document_of = _from_json if is_json(text) else _from_line
    with text.open("rb") as file:
        file.seek(start)
        content = file.read(-1 if end is None else end - start)
    for number, line in enumerate(BytesIO(content), 1):
        read.lines += 1
        try:
            # Programs of Windows write a byte-order mark at the start of a file.
            is_first = start == 0 and number == 1
            document = document_of(line.decode("utf-8-sig" if is_first else "utf-8"))
        except UnicodeDecodeError:
            message = " is not UTF-8 text. Convert the file to UTF-8."
            read.faults.append(Fault(number, NOT_UTF8, message))
        except (ValueError, RecursionError) as error:
            message = (
                f": {first_line(error)}. Each line must be an object with a text, such as "
                f'{{"text": "One document."}}.'
            )
            read.faults.append(Fault(number, MALFORMED, message))
        else:
            if document.strip():
                read.texts.append(document)
            else:
                read.empty_lines += 1
    return read


def is_json(text: Path) -> bool:
    """Whether a text is a .jsonl file."""
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


def spans(text: Path, start: int) -> Iterator[Span]:
    """The chunks of a text from the byte `start` on. Each ends after a line."""
    size = text.stat().st_size
    with text.open("rb") as file:
        while start < size:
            file.seek(start + CHUNK - 1)
            file.readline()
            end = min(file.tell(), size)
            yield start, end
            start = end


def useful_workers(workers: int, size: int) -> int:
    """The number of processes for a text of `size` bytes, at most `workers`.

    A process takes seconds to start, so each has a whole chunk. A smaller text needs no process.
    """
    return min(workers, size // CHUNK)


def read_in_order(reader: ChunkReader, chunks: Iterable[Span], workers: int) -> Iterator[Chunk]:
    """Read chunks, and yield them in their order.

    Args:
        reader: reads one chunk.
        chunks: where the chunks are.
        workers: number of processes that read; 0 for this process, in which the tokenizer may use
            threads.

    Raises:
        TrainingError: a worker process has ended.
    """
    if not workers:
        yield from map(reader, chunks)
        return
    # A forked process would inherit the locks of threads of torch and of the tokenizer.
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _begin_worker, (reader,)
    )
    try:
        waiting: deque[Future[Chunk]] = deque()
        for span in chunks:
            waiting.append(pool.submit(_read, span))
            if len(waiting) == workers * CHUNKS_PER_WORKER:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise TrainingError(
            f"a process that tokenises {reader.text} has ended, perhaps for lack of memory. What "
            f"is written is kept: run the same command again, with fewer --workers."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_read_chunk: ChunkReader  # of a worker process


def _begin_worker(reader: ChunkReader) -> None:
    """Prepare a worker process. It has one thread, and ends with the process that started it."""
    global _read_chunk
    _read_chunk = reader
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the main process decides
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _read(span: Span) -> Chunk:
    return _read_chunk(span)
