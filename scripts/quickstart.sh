#!/usr/bin/env bash
# The complete workflow on the embedded data: distils a teacher into a student by five methods, scores
# all models on 500 held-out inputs, and prints a table. Only packages are downloaded. A second call
# does not repeat finished phases; RUNS=FOLDER starts again in another folder.
# BED=embedded_32x1 RUNS=FOLDER runs the larger teacher and student of configs/experiment/embedded_32x1.
set -euo pipefail
source "$(dirname "$0")/install.sh"
BED=${BED:-embedded}
RUNS=${RUNS:-runs/quickstart}
RESULTS=${RESULTS:-$RUNS/report}
source scripts/phases.sh

# A second core does not speed up such small models, so two commands run in parallel.
export OMP_NUM_THREADS=1
start=student.path="$RUNS/init/best"
pair=("$start" teacher.path="$RUNS/teacher/best")
students_without_teacher() {
    say "2. Student: fine-tune on the same gold responses. All methods start from this student."
    train "$BED/init" init
    say "3. SFT, the first baseline: continue the fine-tuning on the gold responses."
    train "$BED/sft" sft "$start"
}
students_with_teacher() {
    say "4. KD: on the gold responses, match the teacher's distribution of every next token."
    train "$BED/kd" kd "${pair[@]}"
    say "5. MiniLLM with this project's estimator: expected rewards minus the mean reward per token."
    train "$BED/minillm_average_reward" minillm_average_reward "${pair[@]}"
}

begin=$SECONDS
say "1. Teacher: train on 10,000 gold responses. Steps 2 and 3 run on the other core."
start_in_background students_without_teacher students_without_teacher
train "$BED/teacher" teacher
wait_for_background
say "4 and 5 run on one core (output: $RUNS/students_with_teacher.log), 6 and 7 on the other core."
start_in_background students_with_teacher students_with_teacher
say "6. SeqKD: fine-tune on the most likely responses of the teacher."
train "$BED/seqkd" seqkd "${pair[@]}"
say "7. MiniLLM as in the paper: minimise the reverse KL on sampled responses, by policy gradient."
train "$BED/minillm" minillm "${pair[@]}"
wait_for_background
say "8. Scores on 500 held-out inputs: two seeds at temperature 1, greedy decoding, and a frontier."
scores=("evaluation.seeds=[10,20]" "evaluation.frontier=[0.3,0.6,1]")
against=("${scores[@]}" teacher.path="$RUNS/teacher/best")
start_in_background scores score embedded "kd sft init" "${against[@]}"
score embedded teacher "${scores[@]}"
score embedded "seqkd minillm minillm_average_reward" "${against[@]}"
wait_for_background
say "9. Report"
minillm report "$RUNS"/{teacher,init,sft,kd,seqkd,minillm,minillm_average_reward} \
    --output "$RESULTS" --title "Quickstart: embedded data" --against minillm_average_reward
say "10. SFT and KD end close to their start: the start has learned from the same gold responses, and a
student of this size gains little from more such steps. SeqKD and MiniLLM make the student sharper, which
raises ROUGE-L at temperature 1, and also the loss. KD does so with method.teacher_temperature=0.5 and
method.kd_ratio=1. The last validation of each run:"
python - "$RUNS" <<'END'
import json
import sys
from pathlib import Path

runs = "teacher", "init", "sft", "kd", "seqkd", "minillm", "minillm_average_reward"
for run in runs:
    summary = json.loads((Path(sys.argv[1]) / run / "summary.json").read_text())
    last = summary["history"][-1]
    print(f"{run:22} loss {last['loss']:.3f}, ROUGE-L at temperature 1 {last['rougeL']:.1f}")
END
echo
echo "Time after the installation: $((SECONDS - begin)) s. Table and figures: $RESULTS."
echo "Checkpoints (Hugging Face folders), logs and all responses: $RUNS/*."
