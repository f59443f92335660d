"""Counts the bytes that forward passes store for backward."""

from weakref import WeakSet

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


class _Stored:
    """A tensor that autograd stores. Autograd drops the object together with the tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class StoredTensors(saved_tensors_hooks):
    """Inside this context, `bytes` is the size of all tensors that are stored for backward.

    Tensors that share memory count once. Weights are among them, and the inputs of checkpointed
    functions. The difference between two batches has no weights.
    """

    def __init__(self) -> None:
        self._alive: WeakSet[_Stored] = WeakSet()
        super().__init__(self._pack, lambda stored: stored.tensor)

    def _pack(self, tensor: Tensor) -> _Stored:
        stored = _Stored(tensor)
        self._alive.add(stored)
        return stored

    @property
    def bytes(self) -> int:
        storages = [stored.tensor.untyped_storage() for stored in self._alive]
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
