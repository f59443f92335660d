"""The command-line options of all benchmarks."""

import argparse
import logging
import warnings
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from benchmarks.shapes import SHAPES, Problem, Shape, build_problem
from minillm.compat import onednn
from minillm.errors import InputError

RESULTS = Path("results/benchmarks")


def parser(module: str, text: str, shapes: bool = True) -> argparse.ArgumentParser:
    """The argument parser of `python -m MODULE`."""
    options = argparse.ArgumentParser(prog=f"python -m {module}", description=text)
    if shapes:
        names = [name for name in SHAPES if name != "tiny"]
        options.add_argument("--shape", choices=SHAPES, default="e2e", metavar="|".join(names))
        options.add_argument("--device", help="cpu or cuda; default: the device of the shape")
    options.add_argument("--threads", type=int, default=1, help="threads on a CPU (default 1)")
    options.add_argument("--output", type=Path, default=RESULTS, help=f"folder (default {RESULTS})")
    options.add_argument("--gpt2", type=Path, metavar="RUNS", help="folder with teacher/best and "
                         "init/best of GPT-2's shape, from scripts/e2e/estimators.sh with "
                         "BED=e2e_64x2; default: models with random weights")  # fmt: skip
    options.add_argument("--llama", type=Path, metavar="LLAMA_RUNS", help="folder with "
                         "teacher/best and init/best of Llama's shape")  # fmt: skip
    options.add_argument("--data", type=Path, help="folder with the csv files of E2E, whose "
                         "prompts replace random prompts; needs --gpt2 or --llama")  # fmt: skip
    return options


def prepare(arguments: argparse.Namespace) -> None:
    """Check the options, set threads and matrix products, and silence the logs of libraries.

    Raises:
        InputError: an option is out of range, or options contradict each other.
    """
    for name in ("threads", "repeats"):
        value = getattr(arguments, name, 1)
        if value < 1:
            raise InputError(f"--{name} {value}: the value must be 1 or more")
    if arguments.data and not (arguments.gpt2 or arguments.llama):
        raise InputError(
            "--data is given without --gpt2 or --llama. Only trained models can read the prompts "
            "of E2E: add --gpt2 or --llama, or leave out --data."
        )
    if getattr(arguments, "shape", "e2e") != "e2e" and (arguments.gpt2 or arguments.llama):
        raise InputError(
            f"--gpt2, --llama and --data are allowed with --shape e2e only, not with --shape "
            f"{arguments.shape}. Leave them out, or use --shape e2e."
        )
    torch.set_num_threads(arguments.threads)
    if onednn.is_faster():  # applies to all contenders
        onednn.enable()
    torch.manual_seed(0)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("trl").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="trl")


def shapes(arguments: argparse.Namespace) -> list[tuple[Shape, str]]:
    """The shapes of the option `--shape`, each with its device.

    Raises:
        InputError: the device is a GPU and there is none, or the device does not fit the shape.
    """
    pairs = []
    for shape in SHAPES[arguments.shape]:
        device = arguments.device or shape.device or "cpu"
        if shape.device and not device.startswith(shape.device):
            raise InputError(
                f"--shape {arguments.shape} is for a GPU only, but the device is {device}, which "
                f"would take hours. Use --shape e2e or --shape wide."
            )
        if device != "cpu" and not torch.cuda.is_available():
            raise InputError(
                f"--shape {arguments.shape} on {device}: torch sees no GPU. Use --shape e2e or "
                f"--shape wide, on the CPU."
            )
        pairs.append((shape, device))
    return pairs


def problem(arguments: argparse.Namespace, shape: Shape, device: str, architecture: str) -> Problem:
    """Models and prompts of `shape`, by the options --gpt2, --llama and --data."""
    runs = getattr(arguments, architecture)
    return build_problem(shape, architecture, device, runs, arguments.data if runs else None)


def run(main) -> None:
    """Call `main`; an InputError is shown as one line."""
    try:
        main()
    except InputError as error:
        raise SystemExit(f"benchmarks: {error}") from error
