"""torch's gloo backend, which connects processes on CPUs."""

import time

from accelerate import PartialState


def settle() -> None:
    """Call this function before a process leaves the process group. Otherwise the process may hang.

    gloo's threads need Python's lock to release the tensors that they have gathered. The thread
    that leaves the group holds this lock while it waits for gloo's threads (torch 2.13). This
    function sleeps, and the lock is free during the sleep.
    """
    if PartialState().num_processes > 1:
        time.sleep(0.5)
