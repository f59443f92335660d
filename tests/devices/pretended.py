"""A device that computes on the CPU, refuses to mix with it, and counts how often the host waits.

A tensor of the device is a wrapper of a tensor on the CPU. An operation with tensors of both
devices raises an error, as with a GPU. The host would wait for a GPU when it reads a value: with
`item`, `tolist`, `nonzero`, boolean indexing, or a copy between the devices that is not marked as
non-blocking. torch registers a device for good, so this file must be imported in a process of its
own (`test_devices.py`).
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

NAME = "pretended"
CPU = torch.device("cpu")
aten = torch.ops.aten
COPIES = aten._to_copy, aten.copy_
INDEXING = aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_
# The result, or its shape, depends on values.
READS = (
    aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal, aten._unique2,
    aten.unique_consecutive, aten.repeat_interleave, aten.bincount,
)  # fmt: skip
# Writers of files look for tensors that share memory.
MEMORY = Tensor.storage, Tensor.untyped_storage, Tensor.data_ptr


class Backend(_DummyBackendModule):
    """The module `torch.pretended`. The random numbers of the device are those of the CPU."""

    def get_rng_state(self, device: object = None) -> Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: Tensor, device: object = None) -> None:
        torch.set_rng_state(state)

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


_setup_privateuseone_for_python_backend(NAME, Backend())
DEVICE = torch.device(NAME, 0)
# Modules exchange their parameters when they move to the device, so that tied weights stay tied.
torch.__future__.set_swap_module_params_on_conversion(True)


class PretendedTensor(Tensor):
    """A tensor of the device; `values` is on the CPU."""

    @staticmethod
    def __new__(cls, values: Tensor) -> "PretendedTensor":
        tensor = Tensor._make_wrapper_subclass(
            cls, values.shape, values.stride(), values.storage_offset(), dtype=values.dtype,
            device=DEVICE,
        )  # fmt: skip
        tensor.values = values
        return tensor

    @classmethod
    def __torch_dispatch__(cls, operation, types, arguments=(), options=None) -> Any:
        return compute(operation, arguments, options or {})

    def tolist(self) -> list:  # torch refuses wrappers
        return self.cpu().tolist()

    def __reduce_ex__(self, protocol: int) -> tuple:  # files have tensors on the CPU
        return self.cpu().__reduce_ex__(protocol)

    def __repr__(self) -> str:
        return f"{NAME}({self.values})"


@contextmanager
def pretended_device() -> Iterator[Counter[str]]:
    """Inside, tensors can be on the device. The counter has the waits, by operation."""
    waits: Counter[str] = Counter()
    with _Operations(waits), _Constructors():
        yield waits


class _Operations(TorchDispatchMode):
    """Computes all operations, also those that make a tensor of the device from nothing."""

    def __init__(self, waits: Counter[str]) -> None:
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(self, operation, types, arguments=(), options=None) -> Any:
        if waits_for_device(operation, arguments, options or {}):
            self.waits[str(operation)] += 1
        return compute(operation, arguments, options or {})


class _Constructors(TorchFunctionMode):
    """Functions of torch that do not reach `__torch_dispatch__`."""

    def __torch_function__(self, function, types, arguments=(), options=None) -> Any:
        options = options or {}
        if function in MEMORY and isinstance(arguments[0], PretendedTensor):
            return function(arguments[0].values, *arguments[1:], **options)
        device = options.get("device")
        if function in (torch.tensor, torch.as_tensor) and is_pretended(device):
            return function(*arguments, **options | {"device": CPU}).to(device)
        return function(*arguments, **options)


def is_pretended(device: torch.device | str | None) -> bool:
    return device is not None and torch.device(device).type == NAME


def compute(operation: Callable, arguments: tuple, options: dict) -> Any:
    """Compute on the CPU, and wrap the results if they belong to the device."""
    tensors: list[Tensor] = []

    def unwrap(tensor: Tensor) -> Tensor:
        tensors.append(tensor)
        return tensor.values if isinstance(tensor, PretendedTensor) else tensor

    unwrapped, device = mapped(unwrap, arguments), options.get("device")
    wrappers = {id(x.values): x for x in tensors if isinstance(x, PretendedTensor)}
    is_copy = operation.overloadpacket in COPIES
    belongs = isinstance(tensors[0], PretendedTensor) if is_copy else bool(wrappers)
    if device is not None:
        belongs, options = is_pretended(device), options | {"device": CPU}
    # As with a GPU, tensors without axes may be on the CPU.
    others = [x for x in tensors if x.dim() and not isinstance(x, PretendedTensor)]
    if others and belongs and not is_copy:
        raise RuntimeError(f"{operation} mixes the CPU with {NAME}")

    def wrap(tensor: Tensor) -> Tensor:
        wrapper = wrappers.get(id(tensor))  # an operation in place returns its argument
        return PretendedTensor(tensor) if wrapper is None else wrapper

    result = operation(*unwrapped, **options)
    return mapped(wrap, result) if belongs else result


def waits_for_device(operation: Callable, arguments: tuple, options: dict) -> bool:
    """Whether the host would wait for a GPU in the operation."""
    name = operation.overloadpacket
    if name in READS:
        return isinstance(arguments[0], PretendedTensor)
    if name in INDEXING:
        masks = [x for x in arguments[1] if x is not None and x.dtype == torch.bool]
        return bool(masks) and isinstance(arguments[0], PretendedTensor)
    if name is aten._to_copy:
        source, device = arguments[0], options.get("device")
        moves = device is not None and is_pretended(device) != isinstance(source, PretendedTensor)
        return moves and source.numel() > 0 and not options.get("non_blocking")
    if name is aten.copy_:
        kinds = {isinstance(x, PretendedTensor) for x in arguments[:2]}
        return len(kinds) > 1 and not any(arguments[2:])
    return False


def mapped(function: Callable[[Tensor], Tensor], values: Any) -> Any:
    """The values with `function` applied to each tensor in them."""
    if isinstance(values, Tensor):
        return function(values)
    if isinstance(values, list | tuple):
        return type(values)(mapped(function, x) for x in values)
    return values
