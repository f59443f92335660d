#!/usr/bin/env bash
# Table 4 on E2E: MiniLLM without length normalisation, without teacher mixing and without the exact
# single-step term, beside the whole. Run scripts/e2e/run.sh with the same SEEDS before.
#   bash scripts/e2e/ablation.sh PATH     PATH: the folder with trainset.csv and devset.csv
# SEEDS="1 2 3" trains with each of these seeds; what is done is not done again.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
RESULTS=${RESULTS:-$RUNS/ablation/report}

runs="init"
for seed in ${SEEDS:-1}; do
    runs+=" minillm-$seed"
    for name in no_length_normalization no_teacher_mixing no_single_step; do
        say "$name, seed $seed"
        train "ablation/$name" "ablation/$name-$seed" "${student[@]}" runtime.seed="$seed"
        runs+=" ablation/$name-$seed"
    done
done
say "Scores on the development set"
score e2e "$runs" "$data" teacher.path="$RUNS/teacher/best"
say "Report"
reported=()
for run in $runs; do
    reported+=("$RUNS/$run")
done
minillm report "${reported[@]}" --output "$RESULTS" --title "E2E NLG: the parts of MiniLLM"
