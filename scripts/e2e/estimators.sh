#!/usr/bin/env bash
# Estimators of MiniLLM's gradient on E2E, against token-level methods: results/e2e/estimators.
#   bash scripts/e2e/estimators.sh PATH     PATH: the folder with trainset.csv and devset.csv
# Every method starts from the same student and has the same sweep: one run per learning rate of
# RATES with seed 1. The rate with the best validation ROUGE-L is then used for SEEDS. A single rate
# needs no sweep. Every run is scored greedily and along its frontier of quality and diversity. Finished
# phases are not repeated.
# METHODS="paper average_reward" selects methods, and BED=e2e_64x2 the larger student (setup.sh).
set -euo pipefail
source "$(dirname "$0")/setup.sh"
RESULTS=${RESULTS:-$RUNS/estimators/report}
RATES=${RATES:-2e-3 4e-3}
METHODS=${METHODS:-paper official average_reward token_level gkd sft kd seqkd}

method() { # METHOD SEED: sets `experiment` and `settings`
    settings=()
    case $1 in
    paper) experiment=minillm ;;
    official) experiment=minillm settings=(method.variant=official "evaluation.name=minillm_official") ;;
    average_reward) experiment=minillm_average_reward ;;
    token_level) # the reverse KL of each token, without later rewards
        experiment=minillm
        settings=(method.gamma=0 method.alpha=0 "evaluation.name=minillm_token_level")
        ;;
    seqkd) experiment=seqkd settings=("method.file=$RUNS/estimators/seqkd-$2.responses.jsonl") ;;
    *) experiment=$1 ;;
    esac
}

best_rate() { # METHOD: the rate of RATES whose run has the best validation ROUGE-L
    local rate files=()
    for rate in $RATES; do files+=("$RUNS/estimators/$1-$rate-1/summary.json"); done
    python - "${files[@]}" <<'END'
import json
import sys
from pathlib import Path

scores = {path: json.loads(Path(path).read_text())["best"]["rougeL"] for path in sys.argv[1:]}
print(Path(max(scores, key=scores.get)).parent.name.split("-", 1)[1].rsplit("-", 1)[0])
END
}

run() { # METHOD RATE SEED
    method "$1" "$3"
    say "$1 at $2, seed $3"
    train "$BED/$experiment" "estimators/$1-$2-$3" "${student[@]}" training.lr="$2" \
        runtime.seed="$3" "${settings[@]}"
}

say "Teacher and student, fine-tuned on the gold responses"
train e2e/teacher teacher "$data"
train "$BED/init" init "$data"
runs=init
for name in $METHODS; do
    rate=$RATES
    if [[ $RATES == *" "* ]]; then
        for rate in $RATES; do
            run "$name" "$rate" 1
        done
        rate=$(best_rate "$name")
    fi
    for seed in ${SEEDS:-1 2 3}; do
        run "$name" "$rate" "$seed"
        runs+=" estimators/$name-$rate-$seed"
    done
done
say "Scores on the development set"
frontier=("evaluation.frontier=[0.3,0.5,0.7,1,1.2]" "evaluation.seeds=[10,20]")
score e2e teacher "$data" "${frontier[@]}"
score e2e "$runs" "$data" teacher.path="$RUNS/teacher/best" "${frontier[@]}"
say "Report"
folders=("$RUNS/teacher")
for run in $runs; do
    folders+=("$RUNS/$run")
done
minillm report "${folders[@]}" --output "$RESULTS" --title "E2E NLG: estimators" \
    --against minillm_average_reward --diversity 0.82 0.9
