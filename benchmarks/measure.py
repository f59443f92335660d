"""Time and memory of a call."""

import ctypes
import gc
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import torch

from minillm.errors import InputError


def clock(device: torch.device) -> float:
    """Seconds. On one CPU thread those that it ran, so that other processes take no part in them:

    what a free core would take by the clock on the wall. Else those on the wall, once the device
    has done its work.
    """
    if device.type == "cpu" and torch.get_num_threads() == 1:
        return time.process_time()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """What a call takes by `clock`."""
    start = clock(device)
    call()
    return clock(device) - start


def alternate(
    contenders: Mapping[str, Callable[[], float]], repeats: int
) -> dict[str, list[float]]:
    """What each contender returns, round by round, after a round that is not counted."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(repeats + 1):
        for name, contender in contenders.items():
            value = contender()
            if number:
                found[name].append(value)
            print(f"round {number} of {repeats}: {name} {value:.3f}", flush=True)
    return found


def medians(found: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: median(values) for name, values in found.items()}


def peak_memory(call: Callable[[], object], device: torch.device) -> float:
    """MiB at the call's peak above what is held before it.

    On a GPU what torch has allocated there; else the resident memory of the process, whose
    high-water mark Linux resets when asked.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was freed is no part of what is held
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    except OSError as error:
        raise InputError(f"peak memory on a CPU is read from Linux's /proc: {error}") from error
    before = _status("VmRSS")
    call()
    return (_status("VmHWM") - before) / 2**10


def _status(name: str) -> int:
    """A figure of /proc/self/status, in KiB."""
    return int(re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
