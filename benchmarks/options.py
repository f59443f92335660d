"""The command line that the benchmarks share."""

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
    """Arguments of `python -m MODULE`."""
    found = argparse.ArgumentParser(prog=f"python -m {module}", description=text)
    if shapes:
        names = [name for name in SHAPES if name != "tiny"]
        found.add_argument("--shape", choices=SHAPES, default="e2e", metavar="|".join(names))
        found.add_argument("--device", help="cpu or cuda; by default what the shape is meant for")
    found.add_argument("--threads", type=int, default=1, help="of torch on a CPU (default 1)")
    found.add_argument("--output", type=Path, default=RESULTS, help=f"folder (default {RESULTS})")
    found.add_argument("--gpt2", type=Path, metavar="RUNS", help="folder with teacher/best and "
                       "init/best of GPT-2's shape, as scripts/e2e/run.sh leaves them; without "
                       "it, random weights")  # fmt: skip
    found.add_argument("--llama", type=Path, metavar="LLAMA_RUNS", help="the same of Llama's shape")
    found.add_argument("--data", type=Path, help="folder of E2E's csv files: its prompts in place "
                       "of random ones, for trained models")  # fmt: skip
    return found


def prepare(arguments: argparse.Namespace) -> None:
    """Threads, matrix products and silence.

    Raises:
        InputError: what was given does not go together.
    """
    for name in ("threads", "repeats"):
        value = getattr(arguments, name, 1)
        if value < 1:
            raise InputError(f"--{name} {value}: it must be 1 or more")
    if arguments.data and not (arguments.gpt2 or arguments.llama):
        raise InputError("--data needs --gpt2 or --llama: random models read no E2E prompts")
    if getattr(arguments, "shape", "e2e") != "e2e" and (arguments.gpt2 or arguments.llama):
        raise InputError(f"--gpt2, --llama and --data are for --shape e2e, not {arguments.shape}")
    torch.set_num_threads(arguments.threads)
    if onednn.is_faster():  # for all contenders alike
        onednn.enable()
    torch.manual_seed(0)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("trl").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="trl")


def shapes(arguments: argparse.Namespace) -> list[tuple[Shape, str]]:
    """The shapes of `--shape`, with the device of each.

    Raises:
        InputError: a shape needs a GPU and there is none, or another device was asked for.
    """
    found = []
    for shape in SHAPES[arguments.shape]:
        device = arguments.device or shape.device or "cpu"
        if shape.device and not device.startswith(shape.device):
            raise InputError(
                f"--shape {arguments.shape} is for a GPU only, but the device is {device}: it "
                f"would take hours. Take --shape e2e or wide."
            )
        if device != "cpu" and not torch.cuda.is_available():
            raise InputError(
                f"--shape {arguments.shape} on {device}: torch sees no GPU here. Take --shape e2e "
                f"or wide, on the CPU."
            )
        found.append((shape, device))
    return found


def problem(arguments: argparse.Namespace, shape: Shape, device: str, architecture: str) -> Problem:
    """The shape's models and prompts as the arguments say."""
    runs = getattr(arguments, architecture)
    return build_problem(shape, architecture, device, runs, arguments.data if runs else None)


def run(main) -> None:
    """Call `main`; what is wrong with the input is one line."""
    try:
        main()
    except InputError as error:
        raise SystemExit(f"benchmarks: {error}") from error
