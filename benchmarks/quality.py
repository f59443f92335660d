"""Validation ROUGE-L on E2E over training time: ours and TRL's trainers, from one start.

    python -m benchmarks.quality --llama RUNS --data PATH

RUNS holds a teacher and a fine-tuned student of Llama's shape. Each trainer takes the learning rate
that got furthest in a short run, of three that are the same for all, then trains for ten minutes.
Validation is not counted. What is done lies in --work and is not done again.
"""

from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import torch
from matplotlib.figure import Figure
from transformers import TrainerCallback

from benchmarks import options, peers
from benchmarks.measure import clock
from benchmarks.ours import Ours, optimizer, training_settings
from benchmarks.shapes import SHAPES, Problem
from benchmarks.step import OURS
from benchmarks.table import Row, Target, provenance, save
from minillm.errors import InputError
from minillm.evaluation.scoring import score
from minillm.files import read_json, write_json
from minillm.sampling.sampler import Decoding
from minillm.training.optimization import build_schedule

(SHAPE,) = SHAPES["e2e"]
RATES = (5e-4, 1e-3, 2e-3)
WARMUP_STEPS = 20
INPUTS, SEEDS, BATCH = 200, (10, 20), 128  # of a validation
MARK = 47.0  # a student that was fine-tuned for less long starts below
EVER = 10**6  # steps; the time ends a run


@dataclass
class Watch(TrainerCallback):
    """Counts training time, validates every so often, and says when the time is over."""

    problem: Problem
    limit: float
    every: float
    spent: float = 0.0
    points: list[dict[str, float]] = field(default_factory=list)

    def validate(self) -> None:
        module = self.problem.student.module
        module.eval()
        inputs, decoding = self.problem.validation[:INPUTS], Decoding(SHAPE.response)
        scores = [
            score(
                self.problem.student, None, inputs, decoding, seed=seed, batch_size=BATCH
            ).summary()
            for seed in SEEDS
        ]
        means = {name: fmean(one[name] for one in scores) for name in ("rougeL", "length")}
        self.points.append({"seconds": self.spent} | means)
        module.train()

    def begin(self) -> None:
        self.start = clock(self.problem.device)

    def end(self) -> bool:
        """Whether the time is over."""
        self.spent += clock(self.problem.device) - self.start
        if self.spent >= self.every * len(self.points) or self.spent >= self.limit:
            self.validate()
        return self.spent >= self.limit

    def on_step_begin(self, args, state, control, **kwargs) -> None:
        self.begin()

    def on_step_end(self, args, state, control, **kwargs) -> None:
        control.should_training_stop = self.end()


def train(name: str, problem: Problem, lr: float, watch: Watch) -> None:
    """Train until the watch says so, at a constant rate after the same warm-up."""
    torch.manual_seed(1)
    training = training_settings(problem, lr, WARMUP_STEPS)
    adamw = optimizer(problem, training)
    schedule = build_schedule(adamw, training, EVER)
    watch.validate()
    if name != OURS:
        peers.build_trainer(
            name, problem, adamw, EVER, problem.shape.micro_batch, watch, schedule
        ).train()
        return
    problem.student.module.train()
    ours, over = Ours(problem, adamw, schedule=schedule), False
    while not over:
        watch.begin()
        ours()
        over = watch.end()


def curve(name: str, lr: float, limit: float, every: float, arguments) -> list[dict[str, float]]:
    """The points of a run, from its file where it is done."""
    path = arguments.work / f"{name.replace(' ', '_')}-{lr:g}-{limit:g}.json"
    found = read_json(path)
    if found is None:
        problem = options.problem(arguments, SHAPE, "cpu", "llama")
        watch = Watch(problem, limit, every)
        train(name, problem, lr, watch)
        found = watch.points
        write_json(path, found)
    last = found[-1]
    print(f"{name}, lr {lr:g}: {best(found)[1]:.1f} at best, {last['rougeL']:.1f} after "
          f"{last['seconds']:.0f} s", flush=True)  # fmt: skip
    return found


def best(points: list[dict[str, float]]) -> tuple[float, float]:
    """Seconds and ROUGE-L of the best validation."""
    top = max(points, key=lambda point: point["rougeL"])
    return top["seconds"], top["rougeL"]


def seconds_to(points: list[dict[str, float]], mark: float) -> float | None:
    """Until a validation first reached the mark."""
    return next((point["seconds"] for point in points if point["rougeL"] >= mark), None)


def rows_of(curves: dict[str, list[dict[str, float]]]) -> list[Row]:
    """Time to two marks, and the best of each."""
    ours = curves[OURS]
    start = ours[0]["rougeL"]
    text = f"training s to ROUGE-L {MARK:g} (the start has {start:.1f})"
    rows = [Row("e2e", text, seconds_to(ours, MARK), target=Target("<=", 90))]
    others = {name: best(points) for name, points in curves.items() if name != OURS}
    if not others:
        return rows
    top = max(others, key=lambda name: others[name][1])
    taken, mark = others[top]
    text = f"training s to ROUGE-L {mark:.1f}, the best of any TRL trainer"
    rows.append(Row("e2e", text, seconds_to(ours, mark), top, taken))
    limit = ours[-1]["seconds"]
    for name, (_, value) in others.items():
        rows.append(Row("e2e", f"best ROUGE-L within {limit:.0f} s", best(ours)[1], name, value,
                        "ours / other"))  # fmt: skip
    return rows


def figure(curves: dict[str, list[dict[str, float]]]) -> Figure:
    """ROUGE-L over seconds."""
    drawn = Figure(figsize=(6, 3.6), layout="constrained")
    ax = drawn.subplots()
    for (name, points), colour in zip(curves.items(), ("#D55E00", "#0072B2", "#009E73"),
                                      strict=False):  # fmt: skip
        x, y = ([point[key] for point in points] for key in ("seconds", "rougeL"))
        ax.plot(x, y, "o-", color=colour, markersize=3, label=name)
    ax.set_xlabel("training (s on one thread, validation not counted)")
    ax.set_ylabel("validation ROUGE-L")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    return drawn


def main() -> None:
    parser = options.parser("benchmarks.quality", __doc__.split("\n", 1)[0], shapes=False)
    parser.add_argument("--short", type=float, default=60, help="s for each rate (default 60)")
    parser.add_argument("--long", type=float, default=600, help="s for the best (default 600)")
    parser.add_argument("--work", type=Path, default=Path("runs/quality"),
                        help="folder of what is done (default runs/quality)")  # fmt: skip
    arguments = parser.parse_args()
    options.prepare(arguments)
    if not (arguments.llama and arguments.data):
        raise InputError("benchmarks.quality needs --llama and --data: trained models and text")
    reason = peers.missing()
    if reason:
        print(reason)
    curves, rates = {}, {}
    for name in (OURS, *(() if reason else peers.NAMES)):
        tried = {lr: curve(name, lr, arguments.short, arguments.short / 2, arguments)
                 for lr in RATES}  # fmt: skip
        rates[name] = max(RATES, key=lambda lr: best(tried[lr][1:])[1])
        curves[name] = curve(name, rates[name], arguments.long, 30, arguments)
    run = provenance("benchmarks.quality", arguments.threads)
    details = {"curves": curves, "learning rates": rates, "rates tried": RATES}
    save(arguments.output, "quality", "e2e", rows_of(curves), run, details)
    figure(curves).savefig(arguments.output / "quality.png", dpi=110)


if __name__ == "__main__":
    options.run(main)
