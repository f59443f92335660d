"""Time of float32 matrix products on a CPU: oneDNN (`compat/onednn.py`) and torch's default MKL.

    python -m benchmarks.matmul

Measures the three products of a linear layer (one forward, two backward) with sizes of the models
of the other benchmarks.
"""

from collections.abc import Callable
from functools import partial

import torch

from benchmarks import options
from benchmarks.measure import alternate, medians, seconds
from benchmarks.table import Row, provenance, save
from minillm.compat import onednn
from minillm.errors import InputError

SHAPE = "products"
# Tokens, inputs and outputs: a layer of the teacher of e2e, of the student and of the teacher of
# wide, and the output heads of wide, for a chunk and for a decoding step.
SIZES = [
    (1024, 128, 512),
    (1024, 256, 1024),
    (1024, 768, 3072),
    (125, 768, 50257),
    (16, 256, 50257),
]


def layer(product: Callable, tokens: int, inputs: int, outputs: int) -> Callable[[], None]:
    """A call that computes all products of a layer."""
    x, weight = torch.randn(tokens, inputs), torch.randn(outputs, inputs)
    grad = torch.randn(tokens, outputs)

    def call() -> None:
        product(x, weight.t())
        product(grad, weight)
        product(grad.t(), x)

    return call


def mkl(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return torch.mm(left, right, out=left.new_empty(0))


def main() -> None:
    parser = options.parser("benchmarks.matmul", __doc__.split("\n", 1)[0], shapes=False)
    parser.add_argument("--repeats", type=int, default=20, help="rounds (default 20)")
    arguments = parser.parse_args()
    options.prepare(arguments)
    if not onednn.is_faster():
        raise InputError(
            "oneDNN is not used on this processor, so there is nothing to compare. Use a CPU with "
            "AVX-512 that is not from Intel."
        )
    libraries = {"oneDNN": onednn.product, "MKL": mkl}
    calls = {
        f"{size} {name}": partial(seconds, layer(product, *size), torch.device("cpu"))
        for size in SIZES
        for name, product in libraries.items()
    }
    figures = medians(alternate(calls, arguments.repeats))
    rows = []
    for size in SIZES:
        ours, other = (1e3 * figures[f"{size} {name}"] for name in libraries)
        measure = "ms, a linear layer's products, " + " x ".join(map(str, size))
        rows.append(Row(SHAPE, measure, ours, "MKL", other))
    run = provenance("benchmarks.matmul", arguments.threads, arguments.repeats)
    save(arguments.output, "matmul", SHAPE, rows, run, {"seconds": figures})


if __name__ == "__main__":
    options.run(main)
