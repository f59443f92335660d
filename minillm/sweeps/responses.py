"""One file of teacher responses for all trials of SeqKD that would write the same responses.

The first training writes the file, and its worker holds a lock meanwhile. Trainings of other
workers wait until the file is complete. If the writer dies, the next training continues the file.
"""

import fcntl
import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from minillm.config import Config

# Settings of the data that the responses do not depend on.
NOT_RESPONSES = ("plain_text", "plain_text_cache", "test", "long_test_prompts",
                 "min_reference_length", "max_reference_length")  # fmt: skip


@dataclass
class Responses:
    """The responses of a training that needs a file.

    Attributes:
        path: the file.
        notes: the start of the names of its lock and of the record of its seconds.
        lock: the lock on writing it, as a file descriptor, while this worker has it.
        began: when this worker saw the first part of the file that its training writes.
    """

    path: Path
    notes: Path
    lock: int | None = None
    began: float | None = None

    @property
    def record(self) -> Path:
        """Where the seconds are written that the file took."""
        return self.notes.with_suffix(".seconds")

    def is_complete(self) -> bool:
        """Whether the file has all responses. Its first line says how many there are."""
        if not self.path.is_file():
            return False
        if self.record.exists():
            return True
        with self.path.open("rb") as file:
            try:
                prompts = json.loads(file.readline())["prompts"]
            except (ValueError, KeyError, TypeError):
                return False
            return sum(line.endswith(b"\n") for line in file) >= prompts

    def take(self) -> bool:
        """Become the only writer of the file; False if another training writes it."""
        self.notes.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.notes.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self.lock = lock
        return True

    def look(self) -> None:
        """Let others read the file as soon as it is complete, and note how long it took."""
        if self.lock is None:
            return
        if self.began is None and self.path.is_file():
            self.began = time.monotonic()
        if self.is_complete():
            seconds = time.monotonic() - (self.began or time.monotonic())
            self.record.write_text(f"{seconds:.1f}\n", encoding="utf-8")
            self.free()

    def free(self) -> None:
        """Free the lock, also for the training, which has inherited it."""
        if self.lock is not None:
            fcntl.flock(self.lock, fcntl.LOCK_UN)
            os.close(self.lock)
            self.lock = None

    def seconds(self) -> float:
        """Seconds that writing the file took; 0 if that is not known."""
        return float(self.record.read_text()) if self.record.exists() else 0.0


def shared_responses(
    config: Config, folder: Path, seed: int, given: str | None
) -> Responses | None:
    """The file of responses of a training; None if no teacher writes responses beforehand.

    Args:
        config: the settings of the training.
        folder: the folder of the sweep.
        seed: its `runtime.seed`, on which the responses depend.
        given: `method.file` if the user names a file for all trials.
    """
    if config.method.response_file is None:
        return None
    shared = folder / "shared"
    if given is not None:
        digest = hashlib.sha256(str(Path(given).absolute()).encode()).hexdigest()[:12]
        return Responses(Path(given), shared / f"given-{digest}")
    data = {key: x for key, x in asdict(config.data).items() if key not in NOT_RESPONSES}
    made_with = [asdict(config.teacher), data, config.method.samples_per_prompt,
                 config.method.temperature, config.student.path, config.student.tokenizer,
                 seed]  # fmt: skip
    digest = hashlib.sha256(json.dumps(made_with, sort_keys=True).encode()).hexdigest()[:12]
    return Responses(shared / f"responses-{digest}.jsonl", shared / f"responses-{digest}")
