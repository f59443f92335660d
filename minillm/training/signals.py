"""Signals that ask a run to stop: the step at hand is finished, a checkpoint written, then the end.

SIGTERM and SIGUSR1 come from schedulers before they take a machine away (Slurm: `--signal`),
SIGINT from Ctrl-C.
"""

import logging
import os
import signal
import time
from types import FrameType

import torch
from accelerate import Accelerator

log = logging.getLogger(__name__)

ASKING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
# Launchers pass on signals that their processes have had already: within so many seconds, a second
# one is the same.
SAME = 2.0
STDERR = 2
PROMISE = "this step is finished and a checkpoint written; the same again ends at once"


class StopSignals:
    """While entered, takes the first signal as a request; a later second one acts as ever."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.time = 0.0

    def __enter__(self) -> "StopSignals":
        heard = [number for number in ASKING if signal.getsignal(number) is not signal.SIG_IGN]
        self.before = {number: signal.signal(number, self._receive) for number in heard}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received, self.time = signal.Signals(number), time.monotonic()
            if log.isEnabledFor(logging.INFO):  # of all processes, the main one
                # Not by the log: the signal may have come while a line was being written.
                os.write(STDERR, f"\n{self.received.name}: {PROMISE}\n".encode())
        elif time.monotonic() - self.time > SAME:
            signal.signal(number, self.before[number])
            signal.raise_signal(number)

    def agreed(self, accelerator: Accelerator) -> signal.Signals | None:
        """The signal that any process has had: all of them get the same answer."""
        number = torch.tensor(self.received or 0, device=accelerator.device)
        highest = int(accelerator.gather(number[None]).max())
        return signal.Signals(highest) if highest else None
