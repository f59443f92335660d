"""Operations of all processes: divide work, gather results in order, and fail together.

With a single process, the functions return their input.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather, gather_object, reduce
from torch import Tensor

from minillm.devices import to_device
from minillm.errors import InputError

T = TypeVar("T")


def share(items: Sequence) -> Sequence:
    """The items of this process: every N-th item, starting at its rank, for N processes."""
    state = PartialState()
    return items[state.process_index :: state.num_processes]


def gathered(items: Sequence) -> list[Any]:
    """The items of all processes, in the order of the ranks. All processes must call this."""
    return gather_object(list(items))


def total(values: Tensor) -> Tensor:
    """The sum over all processes, element by element."""
    return reduce(values, "sum")


def largest(value: Tensor) -> Tensor:
    """Maximum of `value`, a tensor without axes, over all processes."""
    return gather(value[None]).max()


def highest(number: int, device: torch.device) -> int:
    """Maximum of `number` over all processes, which exchange it with tensors on `device`."""
    if PartialState().num_processes == 1:  # one process need not wait for its device
        return number
    return int(largest(to_device(torch.tensor(number), device)))


@contextmanager
def failing_together(*kinds: type[Exception]) -> Iterator[None]:
    """If any process raises an error of these kinds inside, all processes raise it afterwards.

    If only one process stopped, the others would wait for it forever at their next exchange. The
    code inside must not wait for other processes after a line that may fail.
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
            shared_error = type(error)(f"{error}{where}")
            shared_error.is_known_to_all = True  # so that only the main process prints the error
            raise shared_error from failure


def work_on_main(work: Iterable[None], *kinds: type[Exception]) -> None:
    """The main process goes through `work`, and the others wait for its end.

    All processes exchange a message after each item, because a process fails after it has waited
    `runtime.timeout` seconds for a message. If the main process raises an error of these kinds,
    all processes raise it.
    """
    items = iter(work) if PartialState().is_main_process else repeat(None)
    is_done = False
    while not is_done:
        with failing_together(*kinds):
            is_done = next(items, items) is items
        (is_done,) = broadcast_object_list([is_done])


def from_main(decide: Callable[[], T]) -> T:
    """The result of `decide()` on the main process, for all processes. Others do not call it.

    Decisions from files are made in this way, because the file system of another machine may still
    show an older state. If processes decided differently, some would wait for the others forever.

    Raises:
        InputError: `decide` has raised it. All processes raise the error.
    """
    result = None
    with failing_together(InputError):
        if PartialState().is_main_process:
            result = decide()
    return broadcast_object_list([result])[0]


def send_from_main(values: Tensor) -> Tensor:
    """The values of the main process, for all processes: on their devices, or `values` itself.

    The values of the other processes only say shape and dtype. They may be overwritten.
    """
    state = PartialState()
    if state.num_processes == 1:
        return values
    sent = values.to(state.device).contiguous()
    torch.distributed.broadcast(sent.view(-1).view(torch.uint8), 0)  # gloo does not know all dtypes
    return sent
