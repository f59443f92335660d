"""Length, repetition and reverse KL of sampled responses over training, a line for each variant.

    python scripts/e2e/curves.py FIGURE.png RUN...

Runs NAME-SEED of one NAME make one line, their mean, with each run thin behind it. Read from the
runs' metrics.jsonl, where each row is the mean of the steps since the last.
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
    """Steps and values of a metric, where it was logged."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows = [row for row in rows if key in row]
    return np.array([row["step"] for row in rows]), np.array([row[key] for row in rows])


def main(output: str, *runs: str) -> None:
    variants = defaultdict(list)
    for run in map(Path, runs):
        variants[run.name.rpartition("-")[0].replace("_", " ")].append(run)
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    for ax, (key, title) in zip(figure.subplots(1, len(SERIES)), SERIES.items(), strict=True):
        for index, (name, members) in enumerate(variants.items()):
            lines = [read_series(run, key) for run in members]
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
