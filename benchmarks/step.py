"""Time of a collection with its inner epochs: our code, the official schedule, TRL, and the bound.

    python -m benchmarks.step --shape wide --repeats 1        takes a few minutes

All contenders run in turn in one process, so that other work on the machine slows all of them. The
reported values are medians.
"""

from collections.abc import Callable
from functools import partial

from benchmarks import options, peers
from benchmarks.bound import Bound
from benchmarks.measure import alternate, medians, seconds
from benchmarks.official import Official
from benchmarks.ours import Ours, optimizer
from benchmarks.shapes import Problem
from benchmarks.table import Row, Target, provenance, save
from minillm.sampling.rollout import Rollout

OURS, OURS_ONCE, OFFICIAL, BOUND = "ours", "ours, one inner epoch", "official schedule", "bound"
PER_COLLECTION = "s for a collection and its inner epochs"
PER_SECOND = "rollouts collected and trained once, per s"
CALLS = "teacher decode calls per response token"
TARGETS = {
    ("wide", CALLS, None): Target("<=", 0.25),
    ("e2e", CALLS, None): Target("<=", 0.25),
    ("wide", PER_COLLECTION, OFFICIAL): Target(">=", 3.0),
    ("wide", PER_COLLECTION, BOUND): Target("<=", 1.25),
    ("e2e", PER_COLLECTION, BOUND): Target("<=", 1.3),
} | {
    (shape, PER_SECOND, name): Target(">=", value)
    for shape, value in (("wide", 1.2), ("e2e", 2.0))
    for name in peers.NAMES
}  # fmt: skip


def contenders(
    gpt2: Problem, llama: Problem | None, rollouts: list[Rollout]
) -> dict[str, Callable[[], float]]:
    """Calls by name; each call returns the seconds of one collection."""
    adamw = optimizer(gpt2)
    ours, bound = Ours(gpt2, adamw), Bound(gpt2)
    source = ours.method.parts["tokens"].source
    collect = source.collect

    def recorded_collect():
        rollout, metrics = collect()
        rollouts.append(rollout)
        return rollout, metrics

    source.collect = recorded_collect
    calls: dict[str, Callable[[], object]] = {OURS: ours, OFFICIAL: Official(gpt2, adamw)}
    calls |= bound.parts
    timed = {name: partial(seconds, call, gpt2.device) for name, call in calls.items()}
    if llama:
        adamw = optimizer(llama)
        timed[OURS_ONCE] = partial(seconds, Ours(llama, adamw, inner_epochs=1), llama.device)
        for name in peers.trainers():
            timed[name] = peers.Peer(name, llama, adamw, llama.shape.micro_batch)
    return timed


def rows_of(shape: str, rollouts: int, times: dict[str, float], calls: float) -> list[Row]:
    """The comparisons with their targets, from the median seconds of each contender."""
    bound = sum(times[name] for name in Bound.PARTS)

    def row(measure: str, ours: float, name: str | None, other: float | None, ratio_of: str) -> Row:
        target = TARGETS.get((shape, measure, name))
        return Row(shape, measure, ours, name, other, ratio_of, target)

    rows = [
        row(CALLS, calls, None, None, ""),
        row(PER_COLLECTION, times[OURS], OFFICIAL, times[OFFICIAL], "other / ours"),
        row(PER_COLLECTION, times[OURS], BOUND, bound, "ours / other"),
    ]
    for name in peers.NAMES:
        if name in times:
            ours, other = (rollouts / times[contender] for contender in (OURS_ONCE, name))
            rows.append(row(PER_SECOND, ours, name, other, "ours / other"))
    return rows


def main() -> None:
    parser = options.parser("benchmarks.step", __doc__.split("\n", 1)[0])
    parser.add_argument("--repeats", type=int, default=5, help="rounds (default 5)")
    arguments = parser.parse_args()
    options.prepare(arguments)
    reason = peers.missing()
    if reason:
        print(reason)
    for shape, device in options.shapes(arguments):
        gpt2 = options.problem(arguments, shape, device, "gpt2")
        has_trl = bool(peers.trainers())
        llama = options.problem(arguments, shape, device, "llama") if has_trl else None
        rollouts: list[Rollout] = []
        measured = alternate(contenders(gpt2, llama, rollouts), arguments.repeats)
        calls = sum(x.teacher_calls - x.teacher_prompt_calls for x in rollouts)
        times = medians(measured)
        rows = rows_of(shape.name, shape.rollouts, times, calls / sum(x.steps for x in rollouts))
        tokens = sum(x.sequences.tokens for x in rollouts) / sum(map(len, rollouts))
        details = {"seconds": measured, "medians": times, "source": gpt2.source,
                   "tokens of a response": tokens}  # fmt: skip
        run = provenance("benchmarks.step", arguments.threads, arguments.repeats)
        save(arguments.output, "step", shape.name, rows, run, details)


if __name__ == "__main__":
    options.run(main)
