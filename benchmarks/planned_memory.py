"""The memory that `minillm plan` estimates, beside the memory that a training needs, on a CPU.

    python -m benchmarks.planned_memory experiment=e2e/minillm data.path=E2E student.path=...

The words are those of `minillm train`. For a collection and for an optimiser step, the table has
the planned bytes, the bytes of all tensors that the code creates, and the peak of the resident
memory of the process. Lengths differ between collections, and the plan assumes the longest.
"""

import argparse
from collections.abc import Callable, Iterator

import torch
from accelerate import PartialState

from benchmarks.measure import peak_memory
from benchmarks.ours import step
from minillm.commands.plan import load_outline, one_process
from minillm.commands.train import load_setup
from minillm.compat.fake_tensors import Allocations
from minillm.compose import load_config
from minillm.config import Config
from minillm.methods import build_method
from minillm.planning.backends import ONE_PROCESS, Backend
from minillm.planning.lengths import Lengths
from minillm.planning.memory import Memory, Process, total
from minillm.planning.passes import Passes
from minillm.training.optimization import build_optimizer

CPU = torch.device("cpu")
Sizes = dict[str, float]  # bytes by phase


def planned(config: Config, backend: Backend = ONE_PROCESS, processes: int = 1) -> Memory:
    """The memory of a process on a CPU, as `minillm plan` computes it."""
    setup, data = load_outline(config)
    validation = data["validation"].examples[: config.training.validation_inputs]
    lengths = Lengths.of(setup.train, validation, config)
    passes = Passes(setup, on_gpu=False)
    return Process(passes, lengths, len(validation), backend, processes).memory()


def phases(config: Config) -> Iterator[dict[str, Callable[[], object]]]:
    """For each collection: calls that sample it and run its first step, in this order."""
    setup, _ = load_setup(config, one_process(CPU))
    method, module = build_method(setup), setup.student.module
    optimizer = build_optimizer(module, config.training, CPU)
    batches, batch = method.batches(), []
    while True:
        yield {
            "collection": lambda: batch.append(next(batches)),
            "step": lambda: step(method, module, optimizer, batch.pop()),
        }
        for _ in range(method.steps_per_collection - 1):
            step(method, module, optimizer, next(batches))


def counted(call: Callable[[], object]) -> int:
    """Peak of the bytes of the tensors that a call creates."""
    with Allocations() as allocations:
        call()
    return allocations.peak


def resident(call: Callable[[], object]) -> float:
    """Peak of the resident memory during a call, minus the memory before."""
    return peak_memory(call, CPU) * 2**20


def compare(config: Config, *measures: Callable[[Callable[[], object]], float]) -> list[Sizes]:
    """The planned sizes of both phases, and their sizes by each measure.

    The first collection is not measured, because its first step creates Adam's moments.
    """
    memory = planned(config)
    sizes = [{"collection": total(memory.collection), "step": total(memory.step)}]
    collections = phases(config)
    for call in next(collections).values():
        call()
    for measure in measures:
        sizes.append({name: measure(call) for name, call in next(collections).items()})
    return sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("settings", nargs="+", help="those of `minillm train`")
    settings = parser.parse_args().settings
    PartialState(cpu=True)
    torch.set_num_threads(1)
    plan, tensors, process = compare(load_config(settings), counted, resident)
    print("MB          planned  tensors  resident")
    for name, size in plan.items():
        print(f"{name:10} {size / 1e6:8.1f} {tensors[name] / 1e6:8.1f} {process[name] / 1e6:9.1f}")


if __name__ == "__main__":
    main()
