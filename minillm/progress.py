"""Progress of long work, on stderr: a bar in a terminal, otherwise a log line every 30 seconds.

    with responses_shown("validation", 500):
        ...  # the sampler calls `count_responses`

A process whose logger does not show messages of level INFO shows no progress. So with several
processes, only the main process shows progress.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

log = logging.getLogger(__name__)

LINE_SECONDS = 30.0  # between two log lines
# A bar inside other work appears after this number of seconds, so that short work shows none.
INNER_BAR_SECONDS = 1.0
BAR_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{details}]"

# Units per second, and the seconds that are left; None where they are not known yet.
Estimate = tuple[float | None, float | None]


@dataclass
class Progress:
    """A count of finished units of work, with its speed and the time that is left.

    Attributes:
        name: what is done, such as the name of the run or `validation`.
        total: number of units.
        unit: the units in words, such as `steps`.
        done: number of finished units.
        part: the part of the work that runs at present, such as `seed 10`.
        values: numbers to show, by their short texts.
        estimate: computes speed and seconds left from `done`; None to assume that all units take
            equally long.
    """

    name: str
    total: int
    unit: str
    done: int = 0
    part: str = ""
    values: dict[str, float] = field(default_factory=dict)
    estimate: Callable[[int], Estimate] | None = None

    def __post_init__(self) -> None:
        self.first, self.start = self.done, time.monotonic()
        self.next_line = self.start + LINE_SECONDS
        self.bar: _Bar | None = None

    def advance(self, count: int = 1) -> None:
        """Add finished units, and show the progress if it is time.

        A call takes microseconds, so loops may call this method at every step, also with 0 units.
        """
        self.done = min(self.done + count, self.total)
        if self.bar is not None:
            self.bar.update(self.done - self.bar.n)
        elif time.monotonic() >= self.next_line:
            log.info("%s", self.line())
            self.next_line = time.monotonic() + LINE_SECONDS

    def begin_part(self, part: str) -> None:
        """Show the name of the part of the work that begins."""
        self.part = part
        if self.bar is not None:
            self.bar.set_description_str(self.title)

    @property
    def title(self) -> str:
        return f"{self.name}, {self.part}" if self.part else self.name

    def line(self) -> str:
        """The progress as a log line."""
        share = self.done / max(self.total, 1)
        return f"{self.title}: {self.done} of {self.total} {self.unit} ({share:.0%}){self.details}"

    @property
    def details(self) -> str:
        """Time left, speed and values, each after a comma."""
        speed, left = (self.estimate or self._from_elapsed)(self.done)
        parts = [] if left is None else [f"{duration(left)} left"]
        parts += [] if speed is None else [f"{speed:.3g} {self.unit}/s"]
        parts += [f"{name} {value:g}" for name, value in self.values.items()]
        return "".join(f", {part}" for part in parts)

    def _from_elapsed(self, done: int) -> Estimate:
        if done == self.first:
            return None, None
        speed = (done - self.first) / max(time.monotonic() - self.start, 1e-9)
        return speed, (self.total - done) / speed


class _Bar(tqdm):
    """A bar of tqdm that also shows the details of a `Progress`."""

    def __init__(self, progress: Progress, **options: Any) -> None:
        self.progress = progress
        super().__init__(total=progress.total, initial=progress.done, desc=progress.title,
                         bar_format=BAR_FORMAT, dynamic_ncols=True, **options)  # fmt: skip

    @property
    def format_dict(self) -> dict[str, Any]:
        """The fields of `BAR_FORMAT`. tqdm reads them only when it draws the bar."""
        return super().format_dict | {"details": self.progress.details}


@contextmanager
def shown(progress: Progress, *, delay: float = 0.0, leave: bool = False) -> Iterator[Progress]:
    """Show the progress inside the context.

    Args:
        progress: the work, which calls `advance`.
        delay: seconds after which a bar appears.
        leave: whether the bar stays on the screen after the context.
    """
    if not (log.isEnabledFor(logging.INFO) and _can_draw()):
        yield progress
        return
    with logging_redirect_tqdm(), _Bar(progress, delay=delay, leave=leave) as progress.bar:
        yield progress


def _can_draw() -> bool:
    """Whether stderr is a terminal of known size. tqdm draws nothing in a terminal of 0 lines."""
    return sys.stderr.isatty() and os.get_terminal_size(sys.stderr.fileno()).lines > 0


# The work whose responses `count_responses` counts, innermost last, and the number of processes.
_responses: list[tuple[Progress, int]] = []


@contextmanager
def responses_shown(
    name: str, total: int, *, done: int = 0, delay: float = INNER_BAR_SECONDS
) -> Iterator[Progress]:
    """Show the progress of work that samples `total` responses over all processes.

    Args:
        name: what is done, such as `validation`.
        total: number of responses, over all processes.
        done: number of responses that exist already.
        delay: seconds after which a bar appears.
    """
    from accelerate import PartialState  # late: commands without models need only `duration`

    progress = Progress(name, total, "responses", done)
    _responses.append((progress, PartialState().num_processes))
    try:
        with shown(progress, delay=delay):
            yield progress
    finally:
        _responses.pop()


def count_responses(count: int) -> None:
    """Add finished responses of this process to the work that is shown, if there is any.

    The processes share all responses evenly, so each response counts once per process.
    """
    if _responses:
        progress, processes = _responses[-1]
        progress.advance(count * processes)


def begin_part(part: str) -> None:
    """Name the part of the work that begins, such as `seed 10`, if the work is shown."""
    if _responses:
        progress, _ = _responses[-1]
        progress.begin_part(part)


def duration(seconds: float) -> str:
    """A duration in words, such as `45 s`, `2 min 05 s` or `3 h 10 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes_of_hour = divmod(minutes, 60)
    return f"{hours} h {minutes_of_hour:02} min" if hours else f"{minutes} min {rest:02} s"
