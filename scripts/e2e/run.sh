#!/usr/bin/env bash
# E2E NLG: teacher, student and four methods, scored on the development set.
#   bash scripts/e2e/run.sh PATH     PATH: the folder with trainset.csv and devset.csv
# Where PATH also holds testset_w_refs.csv, that is scored too, as e2e-test. A second run keeps the
# phases that are done. RUNS=FOLDER and RESULTS=FOLDER say where runs and report go.
set -euo pipefail
path=$(realpath "${1:?give the folder with trainset.csv and devset.csv}")
source "$(dirname "$0")/../install.sh"
path=$(python -c 'import os, sys; print(os.path.relpath(sys.argv[1]))' "$path") # as results show it
RUNS=${RUNS:-runs/e2e}
RESULTS=${RESULTS:-$RUNS/report}
SET=e2e
source scripts/phases.sh

data=data.path=$path
student=(student.path="$RUNS/init/best" teacher.path="$RUNS/teacher/best")
say "Teacher and student, fine-tuned on the gold responses"
train teacher teacher "$data"
train init init "$data"
for name in sft kd seqkd minillm; do
    say "$name"
    train "$name" "$name" "$data" "${student[@]}"
done
students="init sft kd seqkd minillm"
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
minillm report "$RUNS" --output "$RESULTS" --title "E2E NLG"
