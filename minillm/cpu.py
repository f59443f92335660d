"""What makes a CPU fast: float32 products by oneDNN.

torch takes MKL for its products, and MKL keeps to AVX2 on processors that are not Intel's. oneDNN,
which torch ships too but calls for other types only, takes AVX-512: on a Zen 5 core a linear
layer is 1.5 to 1.9 times as fast (`python -m benchmarks.matmul`).
"""

import functools
import warnings
from pathlib import Path

import torch
from torch import Tensor

# Multiplications. For each new shape oneDNN takes half a millisecond to compile, and lengths vary.
SMALLEST = 2**24


def onednn_helps() -> bool:
    """Whether this processor has AVX-512 that MKL does not use."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    processor = Path("/proc/cpuinfo")
    is_intel = not processor.exists() or "GenuineIntel" in processor.read_text()
    libraries = torch.backends.mkl, torch.backends.mkldnn
    return not is_intel and all(library.is_available() for library in libraries)


@functools.cache
def use_onednn() -> torch.library.Library:
    """Have torch's `mm` and `addmm` on CPUs computed so, in this process from now on.

    All that reduces to them follows: `linear`, `matmul`, and what autograd makes of either.
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
    # The kernels of `out=` are torch's own still, and so are its errors.
    return torch.mm(left, right, out=left.new_empty(0))


def _addmm(bias: Tensor, left: Tensor, right: Tensor, *, beta=1, alpha=1) -> Tensor:
    if _suits(left, right) and bias.shape == right.shape[1:] and beta == alpha == 1:
        return product(left, right, bias)
    return torch.addmm(bias, left, right, beta=beta, alpha=alpha, out=left.new_empty(0))


def product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """`left [m, k] @ right [k, n] + bias [n]` by oneDNN."""
    weight = right.t()
    if not (weight.is_contiguous() or right.is_contiguous()):
        weight = weight.contiguous()  # oneDNN has but a naive loop for one with gaps
    return torch.ops.mkldnn._linear_pointwise(left, weight, bias, "none", [], "")


def _suits(left: Tensor, right: Tensor) -> bool:
    return (
        left.dtype == right.dtype == torch.float32
        and left.dim() == right.dim() == 2
        and left.shape[1] == right.shape[0]
        and len(left) * right.numel() >= SMALLEST
    )
