"""All answers of servers in one file, so that nothing is asked twice.

A line of the file is a json object: `key`, a checksum of the request; `answer`, the text; the
numbers of tokens `input_tokens` and `output_tokens`, or null; `model`, as the server names it; and
`date`. Several processes may use the file at once. Each answer is appended as one line under a lock
of the file. A process that asks a question holds a lock on this question, which ends with the
process. So another process waits for the answer instead of asking the question again.
"""

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from errno import EACCES, EAGAIN
from pathlib import Path
from typing import Any

from minillm.errors import InputError, first_line
from minillm.servers.access import OPENAI

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """The answer to one request.

    Attributes:
        key: the checksum of the request.
        answer: the text; empty if the model wrote nothing.
        input_tokens, output_tokens: the counts of the server, or None.
        model: the name that the server gives; empty if it gives none.
        date: when it was answered, in UTC.
    """

    key: str
    answer: str
    input_tokens: int | None
    output_tokens: int | None
    model: str
    date: str


def key_of(request: Mapping[str, Any], sample: int | str, address: str) -> str:
    """The checksum of a request: model, messages, parameters, and the address of the server.

    Servers other than OpenAI's may have different models with the same name. `sample` tells apart
    equal requests, of which each shall get an answer of its own.
    """
    parts = [sample, request] if address == OPENAI else [sample, request, address]
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Cache:
    """The answers in a file, and locks on the questions that this process asks."""

    def __init__(self, file: Path, section: str) -> None:
        """Open the file, which need not exist and is the setting `cache` of the section.

        Raises:
            InputError: the file cannot be written.
        """
        self.file = file
        self.answers: dict[str, Answer] = {}
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._answers = os.open(file, flags, 0o644)
            # The locks of the questions have a file of their own, because they end when the process
            # closes any descriptor of the file.
            self._locks = os.open(file.with_name(f".{file.name}.lock"), flags, 0o644)
        except OSError as error:
            raise InputError(
                f"{section}.cache={file} cannot be written: {first_line(error)}. Give another "
                f"{section}.cache=FILE."
            ) from error
        self._position = 0  # up to which the file was read
        self._line = 1  # the number of the line at this position
        self.refresh()

    def close(self) -> None:
        """Close the files, which ends all locks."""
        os.close(self._answers)
        os.close(self._locks)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Wait until no other process with this cache is inside this context."""
        fcntl.flock(self._locks, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._locks, fcntl.LOCK_UN)

    def refresh(self) -> None:
        """Read the lines that were added since the last call. A damaged line is skipped."""
        fcntl.flock(self._answers, fcntl.LOCK_SH)
        try:
            size = os.fstat(self._answers).st_size
            content = os.pread(self._answers, size - self._position, self._position)
        finally:
            fcntl.flock(self._answers, fcntl.LOCK_UN)
        self._position = size
        for line in content.splitlines(keepends=True):
            number, self._line = self._line, self._line + line.endswith(b"\n")
            if not line.strip():
                continue
            try:
                answer = _read(line)
                self.answers[answer.key] = answer
            except (ValueError, KeyError, TypeError):
                log.warning("%s, line %d is damaged and is skipped. Its question is asked again.",
                            self.file, number)  # fmt: skip

    def add(self, answer: Answer) -> None:
        """Append an answer to the file."""
        line = json.dumps(asdict(answer), ensure_ascii=False).encode() + b"\n"
        fcntl.flock(self._answers, fcntl.LOCK_EX)
        try:
            size = os.fstat(self._answers).st_size
            if size and os.pread(self._answers, 1, size - 1) != b"\n":
                line = b"\n" + line  # a process was killed while it wrote the last line
            self._write(line, size)
        finally:
            fcntl.flock(self._answers, fcntl.LOCK_UN)
        self.answers[answer.key] = answer

    def _write(self, line: bytes, size: int) -> None:
        """Append a whole line, or nothing."""
        try:
            while line:
                line = line[os.write(self._answers, line) :]
        except OSError as error:
            error.filename = str(self.file)
            os.ftruncate(self._answers, size)
            raise

    def claim(self, key: str) -> bool:
        """Lock a question for this process; False if another process has the lock."""
        try:
            fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _byte(key))
        except OSError as error:
            # Some network file systems have no locks. There, two processes may ask the same.
            return error.errno not in (EACCES, EAGAIN)
        return True

    def release(self, key: str) -> None:
        """End the lock of a question."""
        with suppress(OSError):
            fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, _byte(key))


def _read(line: bytes) -> Answer:
    """The answer in a line of the file.

    Raises:
        ValueError, KeyError, TypeError: the line is damaged.
    """
    values = json.loads(line)
    answer = Answer(**{name: values[name] for name in Answer.__dataclass_fields__})
    texts = (answer.key, answer.answer, answer.model, answer.date)
    counts = (answer.input_tokens, answer.output_tokens)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a field that must be a text has another type")
    if not all(count is None or isinstance(count, int) for count in counts):
        raise TypeError("a number of tokens is not a whole number")
    return answer


def _byte(key: str) -> int:
    """The position of the byte that stands for a question. The file need not be that long."""
    return int(key[:15], 16)
