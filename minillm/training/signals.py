"""Signals that stop a run: the current step is finished, and a checkpoint is written.

Schedulers send SIGTERM or SIGUSR1 before they take a machine away (Slurm: `--signal`). Ctrl-C sends
SIGINT.
"""

import logging
import os
import signal
import time
from types import FrameType

from accelerate import Accelerator

from minillm.processes import highest

log = logging.getLogger(__name__)

ASKING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
# Launchers forward signals that their processes have already received. So a second signal within
# this number of seconds counts as the same signal.
SAME = 2.0
STDERR = 2
PROMISE = "the run stops after this step and a checkpoint; a second signal stops it at once"


class StopSignals:
    """Inside this context, the first signal only requests a stop.

    A second signal, more than `SAME` seconds later, has its usual effect.

    Attributes:
        received: the first signal; None if there was no signal.
        time: the monotonic time of the first signal, in seconds.
    """

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
            if log.isEnabledFor(logging.INFO):  # only on the main process
                # Not by `log.info`: the signal may arrive while a log line is being written.
                os.write(STDERR, f"\n{self.received.name}: {PROMISE}\n".encode())
        elif time.monotonic() - self.time > SAME:
            signal.signal(number, self.before[number])
            signal.raise_signal(number)

    def agreed(self, accelerator: Accelerator) -> signal.Signals | None:
        """The signal that any process has received; the same result on all processes."""
        number = highest(self.received or 0, accelerator.device)
        return signal.Signals(number) if number else None
