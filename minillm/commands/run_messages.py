"""What `minillm train` says at the start and at the end of a run: where everything lies."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minillm.evaluation.selection import LAST, score_line, shown_score
from minillm.progress import duration
from minillm.runs import CHECKPOINTS, LOGS, METRICS


def first_lines(
    output: Path, steps: int, resumed_at: int | None, seconds: float | None = None
) -> str:
    """Where the run writes, and how to stop and continue the run.

    Args:
        output: the folder of the run.
        steps: number of optimiser steps.
        resumed_at: the step from which the run continues; None for a new run.
        seconds: `training.seconds`.
    """
    count = "1 step" if steps == 1 else f"{steps} steps"
    if seconds is not None:
        count += f", or for {duration(seconds)} if that is less,"
    begins = f"continues at step {resumed_at} of" if resumed_at is not None else "trains for"
    return (
        f"The run {begins} {count} and writes everything to {output}.\n"
        f"Ctrl-C stops the run after the current step, with a checkpoint in {output}/"
        f"{CHECKPOINTS}. The same command with resume=auto, and without overwrite=true, continues "
        f"the run."
    )


def final_lines(
    output: Path, summary: Mapping[str, Any], *, select_by: str, trackers: Sequence[str]
) -> str:
    """Where the models and the metrics of a finished run lie, and how to evaluate the run.

    Args:
        output: the folder of the run.
        summary: the content of summary.json.
        select_by: `training.select_by`.
        trackers: `runtime.trackers`.
    """
    history = summary["history"]
    rows = [
        ("best model", f"{output}/best", _validation(summary["best"], select_by)),
        ("last model", f"{output}/last", _validation(history[-1], select_by)),
        ("metrics", f"{output}/{METRICS}", ""),
    ]
    if "tensorboard" in trackers:
        command = shlex.join(["tensorboard", "--logdir", f"{output}/{LOGS}"])
        rows.append(("logs", f"{output}/{LOGS}", f"to see them: {command}"))
    if "wandb" in trackers:
        rows.append(("logs", f"{output}/wandb", "of Weights & Biases"))
    rows.append(("evaluate with", shlex.join(["minillm", "evaluate", str(output)]), ""))
    width = max(len(path) for _, path, _ in rows)
    lines = [f"  {name:<14} {path:<{width}}  {note}".rstrip() for name, path, note in rows]
    training = duration(summary["seconds"]["training"])
    total = duration(sum(x for name, x in summary["seconds"].items() if name != "training"))
    best = "The best model is the newest."
    if select_by != LAST and summary["best"]["step"] == 0:
        label = shown_score(select_by).label
        best = f"No validation had a better {label} than the start, so the best model is the start."
    elif select_by != LAST:
        best = f"The best model has the best {shown_score(select_by).label} of {len(history)} "
        best += "validations."
    first = f"Done: {summary['steps']} steps in {total}, {training} of them training. {best}"
    return "\n".join([first, *lines])


def _validation(scores: Mapping[str, float | None], select_by: str) -> str:
    """Step and scores of a validation, such as `step 160: loss 0.81, ROUGE-L 65.2`."""
    known = {name: value for name, value in scores.items() if value is not None}
    return f"step {scores['step']}: {score_line(known, select_by)}"
