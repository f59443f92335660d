"""Validation ROUGE-L on E2E over training time, for our code and TRL's trainers.

    python -m benchmarks.quality --llama RUNS --data PATH

RUNS contains a teacher and a fine-tuned student of Llama's shape; all trainers start from this
student. Each trainer tries the same three learning rates in short runs, and then trains for ten
minutes with the best rate. The time of validation is not counted. Finished runs are stored in
--work and are not repeated.
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
INPUTS, SEEDS, BATCH = 200, (10, 20), 128  # of each validation
GOAL = 47.0  # ROUGE-L; the student must start below the goal, so that its fine-tuning is short
MAX_STEPS = 10**6  # never reached, because the time limit ends a run


@dataclass
class Watch(TrainerCallback):
    """Measures the training time, validates at intervals, and ends training at the time limit.

    Attributes:
        problem: models and data.
        limit: seconds of training.
        every: seconds between validations.
        spent: seconds of training so far.
        points: seconds, ROUGE-L and length of each validation.
    """

    problem: Problem
    limit: float
    every: float
    spent: float = 0.0
    points: list[dict[str, float]] = field(default_factory=list)

    def validate(self) -> None:
        module = self.problem.student.module
        module.eval()
        inputs, decoding = self.problem.validation[:INPUTS], Decoding(SHAPE.response)
        summaries = [
            score(
                self.problem.student, None, inputs, decoding, seed=seed, batch_size=BATCH
            ).summary()
            for seed in SEEDS
        ]
        means = {name: fmean(summary[name] for summary in summaries)
                 for name in ("rougeL", "length")}  # fmt: skip
        self.points.append({"seconds": self.spent} | means)
        module.train()

    def begin(self) -> None:
        self.start = clock(self.problem.device)

    def end(self) -> bool:
        """Whether the time limit is reached."""
        self.spent += clock(self.problem.device) - self.start
        if self.spent >= self.every * len(self.points) or self.spent >= self.limit:
            self.validate()
        return self.spent >= self.limit

    def on_step_begin(self, args, state, control, **kwargs) -> None:
        self.begin()

    def on_step_end(self, args, state, control, **kwargs) -> None:
        control.should_training_stop = self.end()


def train(name: str, problem: Problem, lr: float, watch: Watch) -> None:
    """Train until the time limit of `watch`, at a constant rate after the warm-up."""
    torch.manual_seed(1)
    training = training_settings(problem, lr, WARMUP_STEPS)
    adamw = optimizer(problem, training)
    schedule = build_schedule(adamw, training, MAX_STEPS)
    watch.validate()
    if name != OURS:
        peers.build_trainer(
            name, problem, adamw, MAX_STEPS, problem.shape.micro_batch, watch, schedule
        ).train()
        return
    problem.student.module.train()
    ours, is_over = Ours(problem, adamw, schedule=schedule), False
    while not is_over:
        watch.begin()
        ours()
        is_over = watch.end()


def curve(name: str, lr: float, limit: float, every: float, arguments) -> list[dict[str, float]]:
    """The points of a run; a finished run is read from its file."""
    path = arguments.work / f"{name.replace(' ', '_')}-{lr:g}-{limit:g}.json"
    points = read_json(path)
    if points is None:
        problem = options.problem(arguments, SHAPE, "cpu", "llama")
        watch = Watch(problem, limit, every)
        train(name, problem, lr, watch)
        points = watch.points
        write_json(path, points)
    last = points[-1]
    print(f"{name}, lr {lr:g}: {best(points)[1]:.1f} at best, {last['rougeL']:.1f} after "
          f"{last['seconds']:.0f} s", flush=True)  # fmt: skip
    return points


def best(points: list[dict[str, float]]) -> tuple[float, float]:
    """Seconds and ROUGE-L of the best validation."""
    best_point = max(points, key=lambda point: point["rougeL"])
    return best_point["seconds"], best_point["rougeL"]


def seconds_to(points: list[dict[str, float]], rouge_l: float) -> float | None:
    """Seconds until the first validation with at least `rouge_l`; None if there is none."""
    return next((point["seconds"] for point in points if point["rougeL"] >= rouge_l), None)


def rows_of(curves: dict[str, list[dict[str, float]]]) -> list[Row]:
    """The time to the goal, the time to the best value of TRL, and the best value of each."""
    ours = curves[OURS]
    start = ours[0]["rougeL"]
    text = f"training s to ROUGE-L {GOAL:g} (the start has {start:.1f})"
    rows = [Row("e2e", text, seconds_to(ours, GOAL), target=Target("<=", 90))]
    trl = {name: best(points) for name, points in curves.items() if name != OURS}
    if not trl:
        return rows
    best_name = max(trl, key=lambda name: trl[name][1])
    trl_seconds, trl_rouge_l = trl[best_name]
    text = f"training s to ROUGE-L {trl_rouge_l:.1f}, the best of any TRL trainer"
    rows.append(Row("e2e", text, seconds_to(ours, trl_rouge_l), best_name, trl_seconds))
    limit = ours[-1]["seconds"]
    for name, (_, value) in trl.items():
        rows.append(Row("e2e", f"best ROUGE-L within {limit:.0f} s", best(ours)[1], name, value,
                        "ours / other"))  # fmt: skip
    return rows


def figure(curves: dict[str, list[dict[str, float]]]) -> Figure:
    """ROUGE-L over training seconds."""
    curves_figure = Figure(figsize=(6, 3.6), layout="constrained")
    ax = curves_figure.subplots()
    for (name, points), colour in zip(curves.items(), ("#D55E00", "#0072B2", "#009E73"),
                                      strict=False):  # fmt: skip
        x, y = ([point[key] for point in points] for key in ("seconds", "rougeL"))
        ax.plot(x, y, "o-", color=colour, markersize=3, label=name)
    ax.set_xlabel("training (s on one thread, validation not counted)")
    ax.set_ylabel("validation ROUGE-L")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    return curves_figure


def main() -> None:
    parser = options.parser("benchmarks.quality", __doc__.split("\n", 1)[0], shapes=False)
    parser.add_argument("--short", type=float, default=60, help="seconds per rate (default 60)")
    parser.add_argument("--long", type=float, default=600,
                        help="seconds with the best rate (default 600)")  # fmt: skip
    parser.add_argument("--work", type=Path, default=Path("runs/quality"),
                        help="folder of finished runs (default runs/quality)")  # fmt: skip
    arguments = parser.parse_args()
    options.prepare(arguments)
    if not (arguments.llama and arguments.data):
        raise InputError(
            "--llama and --data are required. Set --llama to a folder of trained models, and "
            "--data to the folder with the csv files of E2E."
        )
    reason = peers.missing()
    if reason:
        print(reason)
    curves, rates = {}, {}
    for name in (OURS, *peers.trainers()):
        short_runs = {lr: curve(name, lr, arguments.short, arguments.short / 2, arguments)
                      for lr in RATES}  # fmt: skip
        rates[name] = max(RATES, key=lambda lr: best(short_runs[lr][1:])[1])
        curves[name] = curve(name, rates[name], arguments.long, 30, arguments)
    run = provenance("benchmarks.quality", arguments.threads)
    details = {"curves": curves, "learning rates": rates, "rates tried": RATES}
    save(arguments.output, "quality", "e2e", rows_of(curves), run, details)
    figure(curves).savefig(arguments.output / "quality.png", dpi=110)


if __name__ == "__main__":
    options.run(main)
