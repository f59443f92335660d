"""Plots length, repetition and reverse KL of sampled responses over training.

    python scripts/e2e/curves.py FIGURE.png RUN...

Runs are named NAME-SEED. For each NAME, a thick line shows the mean over seeds, and thin lines show
the runs. The values are those of metrics.jsonl; each row is a mean over the steps since the
previous row.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

SERIES = {
    "rollout/length": "response length (tokens)",
    "rollout/repetition": "share of repeated 4-grams",
    "policy/reverse_kl": "reverse KL (nats per token)",
}


def read_series(run: Path, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of a metric, from the rows that contain the metric."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows = [row for row in rows if key in row]
    return np.array([row["step"] for row in rows]), np.array([row[key] for row in rows])


def main(output: str, *runs: str) -> None:
    variants = defaultdict(list)
    for run in map(Path, runs):
        variants[run.name.rpartition("-")[0].replace("_", " ")].append(run)
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    for ax, (key, title) in zip(figure.subplots(1, len(SERIES)), SERIES.items(), strict=True):
        for index, (name, variant_runs) in enumerate(variants.items()):
            lines = [read_series(run, key) for run in variant_runs]
            for steps, values in lines:
                ax.plot(steps, values, color=f"C{index}", linewidth=0.5, alpha=0.4)
            ax.plot(lines[0][0], np.mean([y for _, y in lines], axis=0), f"C{index}", label=name)
        ax.set_title(title, loc="left", fontsize="medium")
        ax.set_xlabel("step")
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_ylim(bottom=0)
    ax.legend(frameon=False, fontsize="small")
    figure.savefig(output, dpi=130)


if __name__ == "__main__":
    main(*sys.argv[1:])
