#!/usr/bin/env bash
# E2E NLG: trains a teacher, a student and four methods, and scores them on the development set.
#   bash scripts/e2e/run.sh PATH     PATH: the folder with trainset.csv and devset.csv
# If PATH contains testset_w_refs.csv, the script also scores on this file, as e2e-test. Finished
# phases are not repeated. SEEDS="1 2 3" trains every method once per seed, from the same teacher and
# start. BED=e2e_64x2 trains the larger student (setup.sh). RUNS=FOLDER and RESULTS=FOLDER set the
# folders of the runs and of the report.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
RESULTS=${RESULTS:-$RUNS/report}

say "Teacher and student, fine-tuned on the gold responses"
train e2e/teacher teacher "$data"
train "$BED/init" init "$data"
students=init
for seed in ${SEEDS:-1}; do
    for name in sft kd seqkd minillm; do
        say "$name, seed $seed"
        train "$BED/$name" "$name-$seed" "${student[@]}" runtime.seed="$seed"
        students+=" $name-$seed"
    done
done
say "Scores on the development set"
score e2e teacher "$data"
score e2e "$students" "$data" teacher.path="$RUNS/teacher/best"
if [ -f "$path/testset_w_refs.csv" ]; then
    say "Scores on the test set"
    score e2e-test teacher "$data" data.test=testset_w_refs.csv
    score e2e-test "$students" "$data" teacher.path="$RUNS/teacher/best" \
        data.test=testset_w_refs.csv
fi
say "Report"
folders=("$RUNS/teacher")
for run in $students; do
    folders+=("$RUNS/$run")
done
minillm report "${folders[@]}" --output "$RESULTS" --title "E2E NLG"
