"""Trains one run after another for a worker of `minillm sweep`: libraries and teacher stay loaded.

    python -m minillm.commands.train_many DESCRIPTOR TIME

The descriptor is a socket, and TIME is `time.monotonic()` at the start of this process. Each line
from the worker is a run: the words of `minillm train`, and the file for its output. The answer has
the exit status of `minillm train`, and the seconds that were saved. The process ends when the
worker has closed the socket, and after a run that has failed, because its memory may not be free.
"""

import gc
import json
import logging
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from minillm.commands.loading import make_model
from minillm.commands.train import train
from minillm.compat.accelerate import forget_run
from minillm.compose import load_config
from minillm.config import Config, ModelConfig
from minillm.errors import InputError, Stopped, TrainingError, WriteError
from minillm.models.language_model import LanguageModel

STDOUT, STDERR = 1, 2
LOCKS = 8  # the largest number of locks of a run


@dataclass
class KeptTeacher:
    """The teacher of the last run, for the next run with the same one.

    Attributes:
        key: everything that the loaded teacher depends on.
        model: the teacher.
        seconds: how long loading took.
        saved: seconds that the current run has saved.
    """

    key: str | None = None
    model: LanguageModel | None = None
    seconds: float = 0.0
    saved: float = 0.0

    def make(
        self, config: Config, model: ModelConfig, tokenizer: Any, template: str | None = None
    ) -> LanguageModel:
        """`make_model`, which loads the teacher only if it is not that of the last run."""
        if model is not config.teacher:
            return make_model(config, model, tokenizer, template)
        runtime = replace(config.runtime, seed=0)  # the seed differs between runs of a trial
        parts = (config.teacher, config.student, config.data, runtime)
        key = json.dumps([asdict(part) for part in parts])
        if key == self.key:
            self.saved += self.seconds
            return self.model
        self.key = self.model = None  # so that two teachers are never loaded at once
        start = time.monotonic()
        self.model = make_model(config, model, tokenizer, template)
        self.seconds, self.key = time.monotonic() - start, key
        return self.model


def status_of(action: Callable[[], None]) -> int:
    """The exit status that `minillm train` would have. Errors are printed."""
    try:
        action()
    except (InputError, TrainingError, WriteError) as error:
        print(f"minillm: {error}", file=sys.stderr)
        return error.status
    except Stopped as stop:
        print(f"minillm: {stop}", file=sys.stderr)
        return 130 if stop.number == signal.SIGINT else 75
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def train_one(words: list[str], log: str, make: Callable[..., LanguageModel]) -> int:
    """Train one run, with its output in the file `log`; returns its exit status."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for stream in (STDOUT, STDERR):
        os.dup2(file, stream)
    os.close(file)
    sys.argv = ["minillm", "train", *words]  # for the provenance of the run
    status = status_of(lambda: train(load_config(words), make))
    sys.stdout.flush()
    sys.stderr.flush()
    forget_run()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return status


def main(channel: socket.socket, began: float) -> None:
    """Train the runs that the worker sends, until it closes the socket or a run has failed.

    Args:
        channel: the socket.
        began: `time.monotonic()` at the start of this process.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("minillm").setLevel(logging.INFO)
    teacher = KeptTeacher()
    start_seconds, runs = time.monotonic() - began, 0
    while True:
        text, locks, _, _ = socket.recv_fds(channel, 1 << 20, LOCKS)
        if not text:
            return
        run = json.loads(text)
        teacher.saved = start_seconds if runs else 0.0
        status = train_one(run["words"], run["log"], teacher.make)
        runs += 1
        for lock in locks:
            os.close(lock)
        channel.sendall(json.dumps({"status": status, "saved": teacher.saved}).encode())
        if status not in (0, 75, 130):
            return


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), float(sys.argv[2]))
