"""Peak memory of a collection with its inner epochs, above what the loaded models take.

    python -m benchmarks.memory --shape wide

Each contender runs in a process of its own: the models are loaded, a collection of two prompts and
two tokens warms everything up (the optimiser's moments included), and one collection is measured.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable

from benchmarks import options, peers
from benchmarks.measure import peak_memory
from benchmarks.official import Official
from benchmarks.ours import Ours, optimizer
from benchmarks.shapes import Problem, small
from benchmarks.step import OFFICIAL, OURS, OURS_ONCE
from benchmarks.table import Row, Target, provenance, save

COLLECTION, ONCE = "MiB for a collection and its inner epochs", "MiB for a collection and one epoch"
TARGETS = {("wide", OFFICIAL): Target(">=", 4.0)} | {
    ("wide", name): Target(">=", 3.0) for name in peers.NAMES
}


def contender(name: str, problem: Problem, adamw) -> Callable[[], object]:
    """One collection of the one of that name."""
    if name == OFFICIAL:
        return Official(problem, adamw)
    if name in peers.NAMES:
        return peers.Peer(name, problem, adamw, problem.shape.micro_batch, more=0)
    return Ours(problem, adamw, inner_epochs=1 if name == OURS_ONCE else None)


def measure(name: str, problem: Problem) -> float:
    """MiB of the contender, once warm."""
    adamw = optimizer(problem)
    contender(name, small(problem), adamw)()
    return peak_memory(contender(name, problem, adamw), problem.device)


def in_fresh_process(name: str, shape: str, arguments: argparse.Namespace) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", *sys.argv[1:]]
    command += ["--contender", name, "--of", shape]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    value = json.loads(lines.splitlines()[-1])
    print(f"{name}: {value:.0f} MiB", flush=True)
    return value


def main() -> None:
    parser = options.parser("benchmarks.memory", __doc__.split("\n", 1)[0])
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    options.prepare(arguments)
    shapes = options.shapes(arguments)
    if arguments.contender:
        ((shape, device),) = (pair for pair in shapes if pair[0].name == arguments.of)
        architecture = "gpt2" if arguments.contender in (OURS, OFFICIAL) else "llama"
        problem = options.problem(arguments, shape, device, architecture)
        print(json.dumps(measure(arguments.contender, problem)))
        return
    reason = peers.missing()
    if reason:
        print(reason)
    names = [OURS, OFFICIAL] + ([] if reason else [OURS_ONCE, *peers.NAMES])
    for shape, _ in shapes:
        found = {name: in_fresh_process(name, shape.name, arguments) for name in names}
        rows = [
            Row(shape.name, COLLECTION, found[OURS], OFFICIAL, found[OFFICIAL],
                target=TARGETS.get((shape.name, OFFICIAL)))
        ] + [
            Row(shape.name, ONCE, found[OURS_ONCE], name, found[name],
                target=TARGETS.get((shape.name, name)))
            for name in peers.NAMES if name in found
        ]  # fmt: skip
        run = provenance("benchmarks.memory", arguments.threads)
        save(arguments.output, "memory", shape.name, rows, run, {"MiB": found})


if __name__ == "__main__":
    options.run(main)
