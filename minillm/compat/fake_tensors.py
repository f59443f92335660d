"""Tensors without memory, and a count of the bytes that code allocates for its tensors.

torch's `FakeTensorMode` runs operations on tensors that have a shape, a dtype and a device, but no
data. The code of a forward pass, of a loss and of backward runs unchanged on these tensors, so that
the count holds for every architecture and every method. `torch.compile` is built on this mode, but
torch has no public name for it. The address of a storage is private, too.
"""

import weakref
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten


@cache
def fake_tensors() -> FakeTensorMode:
    """The mode inside which new tensors have no memory. Tensors of two modes cannot be combined."""
    return FakeTensorMode()


class Allocations(TorchDispatchMode):
    """Counts the bytes that the operations inside allocate and free.

    The values of fake tensors are not known. Where code reads a number, it gets 1 (true), and all
    entries of a mask count as set. So the sequences have no padding.

    Attributes:
        live: bytes of the tensors that were created inside and still exist.
        peak: maximum of `live`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.known: dict[int, weakref.finalize] = {}  # by the address of the storage

    def __torch_dispatch__(
        self, operation: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        for tensor in _tensors(args, kwargs):
            self._add(tensor, is_new=False)  # created before the count, if it is not known yet
        result = _run(operation, args, kwargs or {})
        for tensor in _tensors(result):
            self._add(tensor, is_new=True)
        return result

    def _add(self, tensor: Tensor, is_new: bool) -> None:
        storage = tensor.untyped_storage()
        address = storage._cdata
        if address in self.known:
            return
        size = storage.nbytes() if is_new else 0
        self.known[address] = weakref.finalize(storage, self._remove, address, size)
        self.live += size
        self.peak = max(self.peak, self.live)

    def _remove(self, address: int, size: int) -> None:
        self.live -= size
        del self.known[address]


def _run(operation: Callable, args: tuple, kwargs: dict) -> Any:
    """The result of an operation. A value that only data could tell is the largest possible."""
    if args and isinstance(args[0], FakeTensor):
        if operation is aten._local_scalar_dense.default:
            return 1
        if operation is aten.nonzero.default:
            return args[0].new_empty(args[0].numel(), args[0].dim(), dtype=torch.long)
    return operation(*args, **kwargs)


def _tensors(*values: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists and dictionaries."""
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
