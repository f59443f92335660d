"""Peak memory of a collection with its inner epochs, minus the memory of the loaded models.

    python -m benchmarks.memory --shape wide

Each contender runs in a separate process. The process loads the models, runs a warm-up collection
of two prompts and two tokens (which creates the optimiser's moments), and measures one collection.
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
TARGETS = {("wide", None): Target("<=", 330), ("wide", OFFICIAL): Target(">=", 4.0)} | {
    ("wide", name): Target(">=", 3.0) for name in peers.NAMES
}


def contender(name: str, problem: Problem, adamw) -> Callable[[], object]:
    """A call that runs one collection with the implementation `name`."""
    if name == OFFICIAL:
        return Official(problem, adamw)
    if name in peers.NAMES:
        return peers.Peer(name, problem, adamw, problem.shape.micro_batch, measured=0)
    return Ours(problem, adamw, inner_epochs=1 if name == OURS_ONCE else None)


def measure(name: str, problem: Problem) -> float:
    """Peak memory of a contender in MiB, after the warm-up collection."""
    adamw = optimizer(problem)
    contender(name, small(problem), adamw)()
    return peak_memory(contender(name, problem, adamw), problem.device)


def in_new_process(name: str, shape: str) -> float:
    """Peak memory in MiB, measured by a new process with the arguments of this process."""
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
    trainers = peers.trainers()
    names = [OURS, OFFICIAL, *((OURS_ONCE, *trainers) if trainers else ())]
    for shape, _ in shapes:
        peaks = {name: in_new_process(name, shape.name) for name in names}
        rows = [
            Row(shape.name, COLLECTION, peaks[OURS], target=TARGETS.get((shape.name, None))),
            Row(shape.name, COLLECTION, peaks[OURS], OFFICIAL, peaks[OFFICIAL],
                target=TARGETS.get((shape.name, OFFICIAL))),
        ] + [
            Row(shape.name, ONCE, peaks[OURS_ONCE], name, peaks[name],
                target=TARGETS.get((shape.name, name)))
            for name in peers.NAMES if name in peaks
        ]  # fmt: skip
        run = provenance("benchmarks.memory", arguments.threads)
        save(arguments.output, "memory", shape.name, rows, run, {"MiB": peaks})


if __name__ == "__main__":
    options.run(main)
