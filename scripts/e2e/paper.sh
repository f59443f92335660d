#!/usr/bin/env bash
# The paper's experiments in miniature, on E2E NLG: teachers of two sizes, students of three sizes,
# all methods, the ablations and the teacher's share alpha, each with three training seeds.
#   bash scripts/e2e/paper.sh PATH          PATH: the folder with trainset.csv and devset.csv
#   bash scripts/e2e/paper.sh PATH JOB...   only these jobs, such as 32x1/kd-2
# Jobs whose result exists are not repeated, and interrupted runs are resumed. JOBS=2 runs two jobs at
# a time, each on one core, with the program flock of util-linux. SEEDS="1 2 3", RUNS=FOLDER and RESULTS=FOLDER are variables, too.
# DRY_RUN=1 prints the jobs that are left, and SMOKE=1 runs each job for two steps. REPORT=1 runs no job: it
# writes the report of the jobs that are finished, and names the others. Without it, the report is
# written when all jobs are finished. Estimate: 3 hours on 2 cores, from the times of single jobs.
set -euo pipefail
script=$(realpath "$0")
RUNS=${RUNS:-${SMOKE:+build/smoke/}runs/e2e_paper} # runs of two steps are not mixed with others
source "$(dirname "$0")/setup.sh"
RESULTS=${RESULTS:-$RUNS/report}
SEEDS=${SEEDS:-1 2 3}
JOBS=${JOBS:-2}
export RUNS SEEDS OMP_NUM_THREADS=1 # more threads do not speed up such small models
shift

SIZES="32x1 48x2 64x2"
METHODS="sft kd seqkd minillm minillm_average_reward"
ABLATIONS="no_length_normalization no_teacher_mixing no_single_step" # of minillm, as in table 4
ALPHAS="0.1 0.4 0.6 1" # minillm has 0.2, and no_teacher_mixing has 0
SMALL=small_teacher
MEASURES=rougeL,exact_match,distinct_4,length,unfinished,empty,reverse_kl,lm_loss
smoke=() few=()
if [ -n "${SMOKE:-}" ]; then
    smoke=(training.steps=2 training.evaluate_every=2 training.validation_inputs=4
        training.warmup_steps=0)
    few=(evaluation.limit=4)
fi

list() { # the jobs of all phases; a job needs jobs of earlier phases only
    local size seed name
    printf '%s\n' teacher $SMALL
    for size in $SIZES; do echo "$size/init"; done
    for seed in $SEEDS; do # the first run of SeqKD of a seed writes the teacher's responses
        echo "32x1/seqkd-$seed"
    done
    for seed in $SEEDS; do
        for size in $SIZES; do
            for name in $METHODS; do
                [ "$size/$name" = 32x1/seqkd ] || echo "$size/$name-$seed"
            done
        done
        for name in $ABLATIONS; do echo "32x1/$name-$seed"; done
        for name in $ALPHAS; do echo "32x1/alpha_$name-$seed"; done
        for name in kd minillm minillm_average_reward; do echo "$SMALL/$name-$seed"; done
    done
}

work() { # JOB: train and score
    local job=$1 bed=e2e_64x2 teacher=teacher start=${1%%/*}/init name=${1##*/}
    local seed=${name##*-} settings=("$data" ${smoke[@]+"${smoke[@]}"})
    name=${name%-*}
    case $job in
    32x1/* | "$SMALL"/*) bed=e2e ;;
    48x2/init) settings+=(student.hidden_size=48) ;;
    esac
    case $job in
    teacher) train e2e/teacher teacher "${settings[@]}" ;;
    "$SMALL") # 64 dimensions and 4 layers, a third of the other teacher's parameters
        train e2e/teacher $SMALL "${settings[@]}" model=gpt2_64x2 student.layers=4
        ;;
    */init) train "$bed/init" "$job" "${settings[@]}" ;;
    *)
        if [[ $job == "$SMALL"/* ]]; then
            teacher=$SMALL start=32x1/init
        fi
        settings+=(runtime.seed="$seed" student.path="$RUNS/$start/best"
            teacher.path="$RUNS/$teacher/best")
        method "$name" "$seed"
        {
            # The first run of SeqKD of a seed writes the file of responses, and the others read it.
            if [ "$name" = seqkd ] && has_flock; then flock 9; fi
            train "$bed/$experiment" "$job" "${settings[@]}"
        } 9>"$RUNS/logs/$name-$seed.lock"
        ;;
    esac
    results "$job" "$teacher"
}

has_flock() {
    command -v flock >/dev/null
}

method() { # NAME SEED: sets `experiment` and adds to `settings`
    experiment=minillm
    case $1 in
    no_length_normalization) settings+=(method.length_normalization=false) ;;
    no_teacher_mixing) settings+=(method.alpha=0.0) ;;
    no_single_step) settings+=(method.single_step=false method.return_from_next=false) ;;
    alpha_*) settings+=(method.alpha="${1#alpha_}") ;;
    seqkd) experiment=seqkd settings+=(method.file="$RUNS/seqkd-$2.responses.jsonl") ;;
    *) experiment=$1 ;;
    esac
    if [ "$experiment" != "$1" ]; then
        settings+=(evaluation.name="$1")
    fi
}

results() { # JOB TEACHER: the scores of the best checkpoint; for table 4, those of the last one, too
    local job=$1 settings=("$data" ${few[@]+"${few[@]}"} "evaluation.seeds=[10,20]" "evaluation.frontier=[0.3,0.5,0.7,1]"
        "evaluation.metrics=[$MEASURES]")
    case $job in
    teacher | "$SMALL") ;;
    *) settings+=(teacher.path="$RUNS/$2/best") ;;
    esac
    case $job in
    32x1/sft-1 | 32x1/kd-1 | 32x1/seqkd-1 | 32x1/minillm*-1) # as in figure 6
        settings+=(evaluation.exposure_samples=10)
        ;;
    esac
    minillm evaluate "$RUNS/$job" "${settings[@]}"
    case $job in
    32x1/minillm-* | 32x1/no_*)
        minillm evaluate "$RUNS/$job/last" "$data" ${few[@]+"${few[@]}"} teacher.path="$RUNS/$2/best" \
            "evaluation.seeds=[10,20]"
        ;;
    esac
}

left() { # of the jobs on stdin, those that have no result
    local job file
    while read -r job; do
        file=e2e
        [[ $job == 32x1/minillm-* || $job == 32x1/no_* ]] && file=e2e.last
        [ -f "$RUNS/$job/evaluation/$file.json" ] || echo "$job"
    done
}

phase() { # PATTERN: run the chosen jobs that match and have no result, JOBS at a time
    chosen | { grep -E -e "$1" || [ $? -eq 1 ]; } | left |
        xargs -P "$JOBS" -I '{}' bash "$script" "$path" --work '{}'
}

keep() { # FILE...: sets `files` to those that exist; fails if there are none
    local file
    files=()
    for file in "$@"; do
        if [ -f "$file" ]; then files+=("$file"); fi
    done
    [ ${#files[@]} -gt 0 ]
}

report() { # the tables and figures of all results that exist
    local size name results missing options files
    missing=$(list | left)
    if [ -n "$missing" ]; then
        echo "Not finished, so that the report lacks their results:"
        echo "  ${missing//$'\n'/$'\n  '}"
    fi
    if ! keep "$RUNS"/{teacher,$SMALL}/evaluation/e2e.json "$RUNS"/{*x*,$SMALL}/*/evaluation/e2e.json; then
        echo "There are no results in $RUNS, so there is no report."
        return
    fi
    minillm report paper "${files[@]}" --output "$RESULTS"
    for size in $SIZES; do
        results=("$RUNS/teacher/evaluation/e2e.json" "$RUNS/$size/init/evaluation/e2e.json")
        for name in $METHODS; do results+=("$RUNS/$size/$name"-*/evaluation/e2e.json); done
        if ! keep "$RUNS/$size"/*/evaluation/e2e.json; then continue; fi
        options=(--output "$RESULTS/$size" --title "E2E NLG: students of $size")
        if keep "$RUNS/$size"/minillm_average_reward-*/evaluation/e2e.json; then
            options+=(--against minillm_average_reward)
        fi
        keep "${results[@]}" || continue
        # Few or hardly trained students may not have these diversities. Then the report chooses others.
        minillm report "${files[@]}" "${options[@]}" --diversity 0.82 0.9 ||
            minillm report "${files[@]}" "${options[@]}"
    done
    if keep "$RUNS"/*/*/evaluation/e2e.last.json; then
        minillm report "${files[@]}" --output "$RESULTS/ablation" \
            --title "E2E NLG: the parts of MiniLLM, last checkpoints"
    fi
    if keep "$RUNS/$SMALL"/*/evaluation/e2e.json; then
        keep "$RUNS/$SMALL"/evaluation/e2e.json "$RUNS/$SMALL"/*/evaluation/e2e.json
        minillm report "${files[@]}" --output "$RESULTS/$SMALL" \
            --title "E2E NLG: a smaller teacher for the students of 32x1"
    fi
}

if [ "${1:-}" = --work ]; then # one job, started by `phase`
    job=$2
    log=$RUNS/logs/${job//\//-}.log
    mkdir -p "$RUNS/logs"
    echo "$job: started, output in $log"
    trap 'tail -n 3 "$log" >&2; echo "$job: failed, see $log" >&2' EXIT
    work "$job" >>"$log" 2>&1
    trap - EXIT
    echo "$job: finished, $(list | left | wc -l | tr -d ' ') jobs are left"
    exit
fi
arguments=("$@")
chosen() { # the jobs of the arguments, or all jobs
    if [ ${#arguments[@]} -gt 0 ]; then printf '%s\n' "${arguments[@]}"; else list; fi
}
if [ -n "${DRY_RUN:-}" ]; then
    chosen | left
    exit
fi
if [ -n "${REPORT:-}" ]; then
    say "Report"
    report
    exit
fi
if [ "$JOBS" -gt 1 ] && ! has_flock; then
    echo "JOBS=$JOBS needs the program flock of util-linux. Install it, or set JOBS=1." >&2
    exit 2
fi
begin=$SECONDS
say "$(chosen | left | wc -l | tr -d ' ') of $(chosen | wc -l | tr -d ' ') jobs are left"
phase '^[^/]*$'  # teachers
phase '/init$'
phase '-[0-9]+$' # students
echo "Time of this call: $((SECONDS - begin)) s"
if [ -z "$(list | left)" ]; then
    say "Report"
    report
fi
