"""Seconds of float32 products on a CPU: oneDNN (`minillm/cpu.py`) and torch's own MKL.

    python -m benchmarks.matmul

Products of a linear layer, forward and both of backward, at sizes of the other benchmarks' models.
"""

from functools import partial

import torch

from benchmarks import options
from benchmarks.measure import alternate, medians, seconds
from benchmarks.table import Row, provenance, save
from minillm import cpu
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


def products(tokens: int, inputs: int, outputs: int) -> dict[str, tuple]:
    """The operands of a layer's products."""
    x, weight = torch.randn(tokens, inputs), torch.randn(outputs, inputs)
    grad = torch.randn(tokens, outputs)
    return {
        "forward": (x, weight.t()),
        "gradient of inputs": (grad, weight),
        "gradient of weights": (grad.t(), x),
    }


def mkl(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return torch.mm(left, right, out=left.new_empty(left.shape[0], right.shape[1]))


def main() -> None:
    parser = options.parser("benchmarks.matmul", __doc__.split("\n", 1)[0], shapes=False)
    parser.add_argument("--repeats", type=int, default=20, help="rounds (default 20)")
    arguments = parser.parse_args()
    options.prepare(arguments)
    if not cpu.onednn_helps():
        raise InputError("torch's own products are taken on this processor: nothing to compare")
    device = torch.device("cpu")
    calls = {
        (size, name, library): partial(seconds, partial(product, *operands), device)
        for size in SIZES
        for name, operands in products(*size).items()
        for library, product in (("oneDNN", cpu.product), ("MKL", mkl))
    }
    found = alternate(
        {" ".join(map(str, key)): call for key, call in calls.items()}, arguments.repeats
    )
    figures = medians(found)
    rows = []
    for size in SIZES:
        for name in products(1, 1, 1):
            ours, other = (1e3 * figures[f"{size} {name} {x}"] for x in ("oneDNN", "MKL"))
            tokens, inputs, outputs = size
            measure = f"ms, {name}, {tokens} x {inputs} x {outputs}"
            rows.append(Row(SHAPE, measure, ours, "MKL", other))
    run = provenance("benchmarks.matmul", arguments.threads, arguments.repeats)
    save(arguments.output, "matmul", SHAPE, rows, run, {"seconds": figures})


if __name__ == "__main__":
    options.run(main)
