"""Seconds of float32 products on a CPU: oneDNN (`minillm/compat/onednn.py`) and torch's own MKL.

    python -m benchmarks.matmul

The three products of a linear layer, one forward and two backward, at sizes of the models in the
other benchmarks.
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
# Tokens, inputs and outputs: a layer of e2e's teacher, of wide's student and teacher, and wide's
# heads in a chunk and in a step of decoding.
SIZES = [
    (1024, 128, 512),
    (1024, 256, 1024),
    (1024, 768, 3072),
    (125, 768, 50257),
    (16, 256, 50257),
]


def layer(product: Callable, tokens: int, inputs: int, outputs: int) -> Callable[[], None]:
    """All products of a layer."""
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
        raise InputError("torch's own products are taken on this processor: nothing to compare")
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
