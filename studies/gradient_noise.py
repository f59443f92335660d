"""Noise of MiniLLM's gradient for real models: standard deviation of a mini-batch's gradient.

    python -m studies.gradient_noise experiment=e2e/minillm data.path=PATH \\
        student.path=FOLDER teacher.path=FOLDER --output results/e2e/estimators/noise.json

The student is not trained. Every estimator gives the gradients of the same number of collections,
each of one mini-batch. The noise is relative to the length of the mean gradient. With the gradients
g_i of M mini-batches, `s^2 = sum |g_i - mean|^2 / (M - 1)` estimates the variance, and
`|mean|^2 - s^2 / M` estimates the squared length without the part that is noise.
"""

import argparse
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from minillm.commands.train import load_setup
from minillm.compose import load_config
from minillm.files import write_json
from minillm.methods import build_method
from minillm.reporting.markdown import table
from minillm.runs import provenance
from minillm.runtime import start_accelerator
from minillm.training.setup import Setup

PAPER = {"variant": "paper", "alpha": 0.2}
STUDENT = {"variant": "paper", "alpha": 0.0}
EXPECTED = STUDENT | {"rewards": "expected"}
AVERAGE_REWARD = {"variant": "average_reward", "alpha": 0.0}
ESTIMATORS = {
    "paper": PAPER,
    "official": PAPER | {"variant": "official"},
    "paper, α = 0": STUDENT,
    "expected rewards, α = 0": EXPECTED,
    "discount 0.9, α = 0": STUDENT | {"gamma": 0.9, "length_normalization": False},
    "discount 0.9, expected rewards, baseline, α = 0": EXPECTED
    | {"gamma": 0.9, "length_normalization": False, "baseline": "position"},
    "average_reward": AVERAGE_REWARD,
    "average_reward, sampled rewards": AVERAGE_REWARD | {"rewards": "sampled"},
    "average_reward, no baseline": AVERAGE_REWARD | {"baseline": "none"},
    "average_reward, α = 0.2": AVERAGE_REWARD | {"alpha": 0.2},
    "no later rewards, α = 0": STUDENT | {"gamma": 0.0},
}


def gradients(setup: Setup, count: int) -> Iterator[Tensor]:
    """The gradients `[parameters]` of mini-batches of the student as it is."""
    method, module = build_method(setup), setup.student.module
    module.eval()
    for step in islice(method.batches(), count):
        totals = {"tokens": sum(part.count for part in step.micro_batches)}
        for part in step.micro_batches:
            method.loss(module, part, totals)[0].backward()
        yield torch.cat([x.grad.flatten() for x in module.parameters() if x.requires_grad])
        module.zero_grad(set_to_none=True)


def noise(mini_batches: Iterable[Tensor], count: int) -> dict[str, float | None]:
    """The length of the mean gradient, and the noise of one mini-batch relative to the length.

    Both are None if the noise hides the mean gradient: use more mini-batches.
    """
    total, squares = 0.0, 0.0  # of the gradients, without storing them
    for gradient in mini_batches:
        total, squares = (
            total + gradient.double(),
            squares + float(gradient.double().square().sum()),
        )
    mean_square = float(total.square().sum()) / count**2
    variance = (squares - count * mean_square) / (count - 1)
    square_length = mean_square - variance / count
    if square_length <= 0:
        return {"length": None, "noise": None}
    return {"length": square_length**0.5, "noise": (variance / square_length) ** 0.5}


def study(setup: Setup, count: int) -> dict[str, dict[str, float]]:
    size = setup.config.training.batch_size
    rows = {}
    for name, changes in ESTIMATORS.items():
        method = replace(
            setup.config.method, **changes, rollouts_per_collection=size, inner_epochs=1
        )
        config = replace(setup.config, method=method)
        start = time.process_time()
        rows[name] = noise(gradients(replace(setup, config=config), count), count)
        rows[name]["cpu_seconds"] = (time.process_time() - start) / count
        print(name, rows[name], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("settings", nargs="+", metavar="key=value", help="as for minillm train")
    parser.add_argument("--mini-batches", type=int, default=40, help="per estimator")
    parser.add_argument("--output", type=Path, required=True, help="json file")
    arguments = parser.parse_args()
    config = load_config(arguments.settings)
    setup, _ = load_setup(config, start_accelerator(config, config.output))
    rows = study(setup, arguments.mini_batches)
    write_json(arguments.output, {"rows": rows, "provenance": provenance()})
    cells = [
        [name, f"{x['noise']:.2f}" if x["noise"] else "–", f"{x['cpu_seconds']:.2f}"]
        for name, x in rows.items()
    ]
    header = ["estimator", "noise of a mini-batch", "CPU s per mini-batch"]
    print(table(header, cells, texts=1))


if __name__ == "__main__":
    main()
