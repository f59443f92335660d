"""Measures the time and the memory of a call."""

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
    """Seconds: CPU time with one CPU thread, otherwise wall-clock time after all device work.

    CPU time excludes other processes. On an idle core it equals wall-clock time.
    """
    if device.type == "cpu" and torch.get_num_threads() == 1:
        return time.process_time()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of a call, by `clock`."""
    start = clock(device)
    call()
    return clock(device) - start


def alternate(
    contenders: Mapping[str, Callable[[], float]], repeats: int
) -> dict[str, list[float]]:
    """Call all contenders in turn, `repeats` times after a warm-up round.

    Returns the values of each contender, without that of the warm-up round.
    """
    measured: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(repeats + 1):
        for name, contender in contenders.items():
            value = contender()
            if number:
                measured[name].append(value)
            print(f"round {number} of {repeats}: {name} {value:.3f}", flush=True)
    return measured


def medians(measured: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: median(values) for name, values in measured.items()}


def peak_memory(call: Callable[[], object], device: torch.device) -> float:
    """Peak memory during a call, in MiB, minus the memory before the call.

    On a GPU, this is the memory that torch allocates. On a CPU, it is the resident memory of the
    process, whose maximum (VmHWM) is reset before the call.

    Raises:
        InputError: the resident memory cannot be measured, because /proc of Linux is missing.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # returns freed memory to the system
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    except OSError as error:
        raise InputError(
            f"the peak memory on a CPU is read from /proc, which failed: {error}. Use Linux."
        ) from error
    before = process_status("VmRSS")
    call()
    return (process_status("VmHWM") - before) / 2**10


def process_status(name: str) -> int:
    """The value `name` of /proc/self/status, in KiB."""
    return int(re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
