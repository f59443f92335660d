#!/usr/bin/env bash
# The main job, end to end, on the embedded data: a teacher is distilled into a student by four
# methods, each is scored on 500 held-out inputs, and the table is printed. Nothing is fetched but
# packages. A second run keeps the phases that are done; RUNS=FOLDER starts afresh elsewhere.
set -euo pipefail
source "$(dirname "$0")/install.sh"
RUNS=${RUNS:-runs/quickstart}
RESULTS=${RESULTS:-$RUNS/report}
SET=embedded
source scripts/phases.sh

begin=$SECONDS
say "1. Teacher: 1M parameters learn the tasks from 10,000 gold responses."
train teacher teacher
say "2. Student, phase 1: 55K parameters, on the same responses. Every method starts from it."
train init init
student=(student.path="$RUNS/init/best" teacher.path="$RUNS/teacher/best")
# Models this small gain nothing from a second core: from here on two commands run side by side.
export OMP_NUM_THREADS=1
baselines() {
    say "3. SFT, the first baseline: more of the gold responses."
    train sft sft "${student[@]}"
    say "4. KD: along the gold responses, match the teacher's distribution of every next token."
    train kd kd "${student[@]}"
}
say "3 and 4. SFT and KD run on one core (they write to $RUNS/baselines.log), 5 and 6 on the other."
beside baselines baselines
say "5. SeqKD: learn from responses that the teacher writes."
train seqkd seqkd "${student[@]}"
say "6. MiniLLM: the student writes, the teacher judges; reverse KL by policy gradient."
train minillm minillm "${student[@]}"
join
say "7. Scores: five seeds at temperature 1 and greedy, on 500 inputs that no training saw."
beside scores score embedded "kd sft init" teacher.path="$RUNS/teacher/best"
score embedded teacher
score embedded "seqkd minillm" teacher.path="$RUNS/teacher/best"
join
say "8. Report"
minillm report "$RUNS" --output "$RESULTS" --title "Quickstart: embedded data"
echo
echo "Took $((SECONDS - begin)) s after the install. Table and figures: $RESULTS;"
echo "checkpoints (Hugging Face folders), logs and every response: $RUNS/*."
