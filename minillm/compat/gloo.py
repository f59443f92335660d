"""torch's gloo backend, which connects processes on CPUs."""

import time

from accelerate import PartialState


def settle() -> None:
    """Call this before a process leaves the group of processes. Otherwise the process may hang.

    gloo's threads release the tensors that they have gathered. They need Python's lock for that,
    but the thread that leaves the group holds the lock while it waits for them (torch 2.13). While
    this function sleeps, the lock is free.
    """
    if PartialState().num_processes > 1:
        time.sleep(0.5)
