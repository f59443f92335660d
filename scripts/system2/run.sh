#!/usr/bin/env bash
# System 2 distillation (arXiv 2407.06023) of a small model on five tasks: the model answers slowly,
# its answers are filtered, and the same model learns to give them at once.
# Measured: 31 minutes on 2 cores, 10 of which train the base model.
#   bash scripts/system2/run.sh            a base model is trained, then all tasks
#   bash scripts/system2/run.sh TASK...    only these tasks, such as coin_flip
# Finished steps are not repeated, and interrupted steps continue. MODEL=FOLDER uses another model
# instead of the base model. JOBS=2 runs two tasks at a time, each on one core. RUNS=FOLDER,
# RESULTS=FOLDER (of the report), QUESTIONS=2000 and METHODS="sft gkd minillm" are variables, too.
# SMOKE=1 makes every step very small.
set -euo pipefail
script=$(realpath "$0")
source "$(dirname "$0")/../install.sh"
RUNS=${RUNS:-${SMOKE:+build/smoke/}runs/system2} # very small runs are not mixed with others
RESULTS=${RESULTS:-$RUNS/report}
export RUNS RESULTS OMP_NUM_THREADS=1
export MODEL=${MODEL:-$RUNS/base}
JOBS=${JOBS:-2}
QUESTIONS=${QUESTIONS:-2000}
METHODS=${METHODS:-sft gkd minillm}
source scripts/phases.sh

training=() sizes=("system2.train_questions=$QUESTIONS")
if [ -n "${SMOKE:-}" ]; then
    training=(training.steps=2 training.warmup_steps=0 training.evaluate_every=2
        training.validation_inputs=4)
    sizes=(system2.train_questions=24 system2.test_questions=8 system2.samples=2
        system2.filter=none
        # An untrained model finds no answer, so that every text counts as one.
        system2.extractor=text data.max_response_length=16)
fi

step() { # STEP TASK [OVERRIDE...]: a step of a task
    local step=$1 task=$2 model=$MODEL
    shift 2
    minillm system2 "$step" "$model" "system2=$task" "output=$RUNS/$task" "${sizes[@]}" "$@"
}

test_model() { # MODEL NAME TASK [OVERRIDE...]: score a model on the test questions
    MODEL=$1 step evaluate "$3" "system2.name=$2" "${@:4}"
}

distil() { # TASK NAME METHOD [OVERRIDE...]: train on kept answers, and score the result
    local task=$1 name=$2 method=$3
    shift 3
    step train "$task" "system2.name=$name" "experiment=system2/$method" \
        ${training[@]+"${training[@]}"} "$@"
    test_model "$RUNS/$task/models/$name" "$name" "$task" system2.program=direct
}

work() { # TASK: all steps
    local task=$1 method
    test_model "$MODEL" system1 "$task" system2.program=direct
    test_model "$MODEL" system2 "$task"
    step generate "$task"
    step filter "$task"
    for method in $METHODS; do distil "$task" "$method" "$method"; done
    step filter "$task" system2.filter=none
    distil "$task" sft_unfiltered sft system2.filter=none
    # System 1's own answers, filtered by their majority.
    local own=(system2.program=direct system2.filter=majority system2.least_share=0)
    local status=0
    step generate "$task" "${own[@]}"
    step filter "$task" "${own[@]}" || status=$?
    case $status in
        0) distil "$task" sft_own_answers sft "${own[@]}" ;;
        2) ;; # no answers are kept
        *) return "$status" ;;
    esac
}

if [ "${1:-}" = --work ]; then # one task, started below
    task=$2 log=$RUNS/logs/$2.log
    mkdir -p "$RUNS/logs"
    echo "$task: started, output in $log"
    trap 'tail -n 3 "$log" >&2; echo "$task: failed, see $log" >&2' EXIT
    work "$task" >>"$log" 2>&1
    trap - EXIT
    echo "$task: finished"
    exit
fi

begin=$SECONDS
if [ "$MODEL" = "$RUNS/base" ]; then
    say "Base model"
    if [ ! -f "$RUNS/corpus/test.jsonl" ]; then
        minillm system2 corpus "output=$RUNS/corpus"
    fi
    train system2/base base "data.path=$RUNS/corpus" ${training[@]+"${training[@]}"}
fi
tasks=("$@")
if [ $# -eq 0 ]; then
    tasks=(last_letters coin_flip biased_facts pair_judging sums)
fi
say "Tasks"
printf '%s\n' "${tasks[@]}" | xargs -P "$JOBS" -I '{}' bash "$script" --work '{}'
say "Report"
minillm system2 report "${tasks[@]/#/$RUNS/}" --output "$RESULTS"
echo "Time of this call: $((SECONDS - begin)) s"
