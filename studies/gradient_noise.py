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
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from minillm.commands.loading import (
    encode_splits,
    load_frozen,
    make_model,
    make_tokenizer,
    read_records,
)
from minillm.compose import load_config
from minillm.config import Config
from minillm.files import write_json
from minillm.methods import build_method
from minillm.reporting.markdown import table
from minillm.runs import provenance
from minillm.runtime import start_accelerator
from minillm.teachers.build import build_teacher
from minillm.training.setup import Setup

PAPER = {"variant": "paper", "alpha": 0.2}
STUDENT = {"variant": "paper", "alpha": 0.0}
EXPECTED = STUDENT | {"rewards": "expected"}
ESTIMATORS = {
    "paper": PAPER,
    "official": PAPER | {"variant": "official"},
    "paper, α = 0": STUDENT,
    "expected rewards, α = 0": EXPECTED,
    "discount 0.9, α = 0": STUDENT | {"gamma": 0.9, "length_normalization": False},
    "discount 0.9, expected rewards, baseline, α = 0": EXPECTED
    | {"gamma": 0.9, "length_normalization": False, "baseline": "position"},
    "average_reward": {"variant": "average_reward", "alpha": 0.0},
    "average_reward, α = 0.2": {"variant": "average_reward", "alpha": 0.2},
    "no later rewards, α = 0": STUDENT | {"gamma": 0.0},
}


def load(config: Config) -> Setup:
    """Models and data as `minillm train` loads them."""
    accelerator = start_accelerator(config, config.output)
    records = read_records(config, ["train", "validation"])
    tokenizer = make_tokenizer(config, records["train"])
    data = encode_splits(records, tokenizer, config)
    student = make_model(config, config.student, tokenizer)
    teacher, _ = build_teacher(config, student, partial(load_frozen, config))
    device = accelerator.device
    return Setup(config, student, teacher, data["train"].examples, device, 0, 1, Path())


def mini_batch_gradients(setup: Setup, count: int) -> tuple[Tensor, float]:
    """The gradients `[count, parameters]` of mini-batches, and CPU seconds per mini-batch."""
    method, module = build_method(setup), setup.student.module
    module.eval()
    parameters = [x for x in module.parameters() if x.requires_grad]
    gradients, batches, start = [], method.batches(), time.process_time()
    for _ in range(count):
        step = next(batches)
        totals = {"tokens": sum(part.count for part in step.micro_batches)}
        for part in step.micro_batches:
            method.loss(module, part, totals)[0].backward()
        gradients.append(torch.cat([x.grad.flatten() for x in parameters]))
        module.zero_grad(set_to_none=True)
    return torch.stack(gradients), (time.process_time() - start) / count


def noise(gradients: Tensor) -> dict[str, float]:
    """The length of the mean gradient, and the noise of one mini-batch relative to it."""
    mean = gradients.mean(0)
    variance = (gradients - mean).square().sum() / (len(gradients) - 1)
    length = (mean.square().sum() - variance / len(gradients)).clamp(min=0).sqrt()
    return {"length": float(length), "noise": float(variance.sqrt() / length)}


def study(setup: Setup, count: int) -> dict[str, dict[str, float]]:
    size = setup.config.training.batch_size
    rows = {}
    for name, changes in ESTIMATORS.items():
        method = replace(
            setup.config.method, **changes, rollouts_per_collection=size, inner_epochs=1
        )
        config = replace(setup.config, method=method)
        gradients, seconds = mini_batch_gradients(replace(setup, config=config), count)
        rows[name] = noise(gradients) | {"seconds": seconds}
        print(name, rows[name], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("settings", nargs="+", metavar="key=value", help="as for minillm train")
    parser.add_argument("--mini-batches", type=int, default=40, help="per estimator")
    parser.add_argument("--output", type=Path, required=True, help="json file")
    arguments = parser.parse_args()
    setup = load(load_config(arguments.settings))
    rows = study(setup, arguments.mini_batches)
    write_json(arguments.output, {"rows": rows, "provenance": provenance()})
    cells = [
        [name, f"{x['noise']:.2f}", f"{x['noise'] ** 2:.1f}", f"{x['seconds']:.2f}",
         f"{x['noise'] ** 2 * x['seconds']:.1f}"]
        for name, x in rows.items()
    ]  # fmt: skip
    header = ["estimator", "noise", "mini-batches for noise = signal", "CPU s per mini-batch",
              "CPU s for noise = signal"]  # fmt: skip
    print(table(header, cells, texts=1))


if __name__ == "__main__":
    main()
