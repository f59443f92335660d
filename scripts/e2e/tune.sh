#!/usr/bin/env bash
# Learning rates on E2E: trains every method with every rate, from the start of scripts/e2e/run.sh,
# and prints the best validation ROUGE-L of each run. Run scripts/e2e/run.sh with the same BED before.
#   bash scripts/e2e/tune.sh PATH     PATH: the folder with trainset.csv and devset.csv
# RATES="1e-3 2e-3" and METHODS="sft minillm" select rates and methods. Finished runs are not
# repeated.
set -euo pipefail
source "$(dirname "$0")/setup.sh"

for rate in ${RATES:-1e-3 2e-3 4e-3}; do
    for name in ${METHODS:-sft kd seqkd minillm}; do
        say "$name at $rate"
        overrides=("${student[@]}" training.lr="$rate")
        if [ "$name" = seqkd ]; then # all rates use the same responses of the teacher
            overrides+=(method.file="$RUNS/seqkd.responses.jsonl")
        fi
        train "$BED/$name" "tune/$name-$rate" "${overrides[@]}"
    done
done
say "Best validation ROUGE-L"
python - "$RUNS"/tune/*/summary.json <<'END'
import json
import sys
from pathlib import Path

print("| run | best step | ROUGE-L | reverse KL | length | training (s) |")
print("|---|---:|---:|---:|---:|---:|")
for path in sys.argv[1:]:
    best, run = json.loads(Path(path).read_text())["best"], Path(path).parent.name
    row = f"| {run} | {best['step']} | {best['rougeL']:.1f} | {best['reverse_kl']:.3f} "
    print(row + f"| {best['length']:.1f} | {best['seconds']:.0f} |")
END
