"""Computes torch's float32 matrix products on CPUs with oneDNN.

torch uses MKL for these products, and MKL uses only AVX2 on processors that are not from Intel.
torch also contains oneDNN, which uses AVX-512, but torch calls oneDNN only for other types. On a
Zen 5 core oneDNN makes a linear layer 1.5 to 1.9 times as fast (`python -m benchmarks.matmul`).
torch has no setting for this choice, so this module replaces its kernels of `mm` and `addmm`. The
new kernels call oneDNN through a private operator.
"""

import functools
import warnings
from pathlib import Path

import torch
from torch import Tensor

# Multiplications of the smallest product that oneDNN computes. oneDNN compiles for half a
# millisecond for each new shape, and sequence lengths vary.
SMALLEST = 2**24


def is_faster() -> bool:
    """Whether this processor has AVX-512 and MKL does not use it."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    processor = Path("/proc/cpuinfo")
    is_intel = not processor.exists() or "GenuineIntel" in processor.read_text()
    libraries = torch.backends.mkl, torch.backends.mkldnn
    return not is_intel and all(library.is_available() for library in libraries)


@functools.cache
def enable() -> torch.library.Library:
    """Replace torch's kernels of `mm` and `addmm` on CPUs in this process.

    `linear`, `matmul` and their gradients call `mm` and `addmm`.
    """
    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*Overriding a previously registered kernel")
        library.impl("mm", _mm, "CPU")
        library.impl("addmm", _addmm, "CPU")
    return library


def _mm(left: Tensor, right: Tensor) -> Tensor:
    if _suits(left, right):
        return product(left, right)
    # The kernels with `out=` are not replaced, so torch computes the result or raises its error.
    return torch.mm(left, right, out=left.new_empty(0))


def _addmm(bias: Tensor, left: Tensor, right: Tensor, *, beta=1, alpha=1) -> Tensor:
    if _suits(left, right) and bias.shape == right.shape[1:] and beta == alpha == 1:
        return product(left, right, bias)
    return torch.addmm(bias, left, right, beta=beta, alpha=alpha, out=left.new_empty(0))


def product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """`left [m, k] @ right [k, n] + bias [n]` by oneDNN."""
    weight = right.t()
    if not (weight.is_contiguous() or right.is_contiguous()):
        weight = weight.contiguous()  # oneDNN uses a slow loop for matrices with gaps
    return torch.ops.mkldnn._linear_pointwise(left, weight, bias, "none", [], "")


def _suits(left: Tensor, right: Tensor) -> bool:
    return (
        left.dtype == right.dtype == torch.float32
        and left.dim() == right.dim() == 2
        and left.shape[1] == right.shape[0]
        and len(left) * right.numel() >= SMALLEST
    )
