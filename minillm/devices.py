"""Copies from host memory to a device for which the host does not wait."""

import torch
from torch import Tensor


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """`values` on a device. If they are in host memory, the host does not wait for the device.

    A GPU reads pinned memory while the host goes on. The pinned copy lives until the GPU has read
    it, so that the caller may change `values` at once.
    """
    if values.device.type != "cpu":
        return values.to(device)  # the host would not know when a copy to host memory is complete
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)
