"""What processes do together: share work out, bring it together in order, and fail as one.

On one process each of these does nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather, gather_object, reduce
from torch import Tensor


def share(items: Sequence) -> Sequence:
    """This process's part: every N-th item, from its own rank on."""
    state = PartialState()
    return items[state.process_index :: state.num_processes]


def gathered(mine: Sequence) -> list[Any]:
    """The items of all processes, those of rank 0 first. All must call it together."""
    return gather_object(list(mine))


def total(values: Tensor) -> Tensor:
    """The sum over all processes, entry by entry."""
    return reduce(values, "sum")


def largest(value: Tensor) -> Tensor:
    """The largest of one number (a tensor without axes) a process."""
    return gather(value[None]).max()


def longest(length: int, device: torch.device) -> int:
    """The largest of one length a process."""
    return int(largest(torch.tensor(length, device=device)))


@contextmanager
def failing_together(*kinds: type[Exception]) -> Iterator[None]:
    """An error of these kinds inside, on any process, is raised on all of them afterwards.

    A process that stopped alone would leave the others waiting for it at their next meeting.
    What is inside must not wait for other processes after the place where one may fail.
    """
    failure = None
    try:
        yield
    except kinds as error:
        failure = error
    failures = gathered([failure])
    for rank, error in enumerate(failures):
        if error is not None:
            where = f" (process {rank})" if len(failures) > 1 else ""
            raise type(error)(f"{error}{where}") from failure
