"""A training that takes no time, for `sweep.launcher`: it writes the files of a run.

Each step is a validation and, after it, a checkpoint; a run continues after its last step. ROUGE-L
is highest at training.lr=0.01. From 0.2 on the reverse KL rises, and from 0.5 on a run fails.
FAKE_STEP sets the seconds of a step. Each start adds a line to starts.txt in the working folder:
name of the run, id of the worker.
"""

import json
import math
import os
import sys
import time
from pathlib import Path

STEPS = 4


def main() -> None:
    settings = dict(word.split("=", 1) for word in sys.argv[2:])
    rate, output = float(settings["training.lr"]), Path(settings["output"])
    with open("starts.txt", "a", encoding="utf-8") as file:
        file.write(f"{output.name} {os.getppid()}\n")
    if rate >= 0.5:
        sys.exit("minillm: the loss is not finite at step 1")
    output.mkdir(parents=True, exist_ok=True)
    metrics = output / "metrics.jsonl"
    lines = metrics.read_text().splitlines() if metrics.exists() else []
    for step in range(len(lines), STEPS + 1):
        time.sleep(float(os.environ.get("FAKE_STEP", "0")))
        score = 50 + step * (1 - abs(math.log10(rate / 0.01))) + int(settings["runtime.seed"])
        reverse_kl = 0.5 * (1 + step * (rate >= 0.2))
        scores = {"validation/rougeL": score, "validation/reverse_kl": reverse_kl}
        lines.append(json.dumps({"step": step} | scores))
        with metrics.open("a", encoding="utf-8") as file:
            file.write(lines[-1] + "\n")
    best = {"step": STEPS, "rougeL": json.loads(lines[-1])["validation/rougeL"]}
    summary = {"best": best, "steps": STEPS, "seconds": {"training": rate}, "history": []}
    (output / "summary.json").write_text(json.dumps(summary))


if __name__ == "__main__":
    main()
