#!/usr/bin/env bash
# Table 4 on E2E: compares MiniLLM with MiniLLM without length normalisation, without teacher mixing
# and without the exact single-step term. Scores are those of the last checkpoints, because the best
# checkpoint may precede a collapse. Run scripts/e2e/run.sh with the same BED and SEEDS before.
#   bash scripts/e2e/ablation.sh PATH     PATH: the folder with trainset.csv and devset.csv
# SEEDS="1 2 3" trains once per seed. Finished phases are not repeated.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
RESULTS=${RESULTS:-$RUNS/ablation/report}

runs=init
ablate() { # NAME LABEL OVERRIDE...: MiniLLM with other settings
    local name=$1 label=$2
    shift 2
    say "$name, seed $seed"
    train "$BED/minillm" "ablation/$name-$seed" "${student[@]}" runtime.seed="$seed" \
        evaluation.name="'minillm, $label'" "$@"
    runs+=" ablation/$name-$seed"
}
for seed in ${SEEDS:-1}; do
    runs+=" minillm-$seed"
    # Returns are sums of later rewards, not divided by the number of rewards.
    ablate no_length_normalization "no length normalisation" method.length_normalization=false
    # The student alone writes the responses.
    ablate no_teacher_mixing "no teacher mixing" method.alpha=0.0
    # No exact single-step term. The return therefore includes r_t.
    ablate no_single_step "no single-step term" method.single_step=false \
        method.return_from_next=false
done
say "Scores on the development set"
for run in $runs; do
    scores=$RUNS/ablation/scores/$(basename "$run")
    if [ ! -f "$scores/evaluation/e2e.json" ]; then
        minillm evaluate "$RUNS/$run/last" "output=$scores" data.name=e2e "$data" \
            teacher.path="$RUNS/teacher/best"
    fi
done
say "Report"
minillm report "$RUNS/ablation/scores" --output "$RESULTS" \
    --title "E2E NLG: the parts of MiniLLM"
curves=()
for run in ${runs#init }; do
    curves+=("$RUNS/$run")
done
python scripts/e2e/curves.py "$RESULTS/curves.png" "${curves[@]}"
