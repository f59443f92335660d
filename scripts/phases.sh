# Sourced by scripts that train and score runs in $RUNS with the experiments of configs/experiment.
# Finished phases are not repeated, and interrupted runs are resumed.

say() {
    printf '\n== %s\n' "$1"
}

train() { # EXPERIMENT RUN [OVERRIDE...]: a run of EXPERIMENT in $RUNS/RUN
    local experiment=$1 run=$2
    shift 2
    if [ -f "$RUNS/$run/summary.json" ]; then
        echo "$RUNS/$run is already finished"
    else
        minillm train "experiment=$experiment" "output=$RUNS/$run" resume=auto "$@"
    fi
}

score() { # DATA "RUN..." [OVERRIDE...]: score the runs $RUNS/RUN that have no result file of DATA
    local data=$1 run models=()
    for run in $2; do
        if [ ! -f "$RUNS/$run/evaluation/$data.json" ]; then
            models+=("$RUNS/$run")
        fi
    done
    shift 2
    if [ ${#models[@]} -gt 0 ]; then
        minillm evaluate "${models[@]}" "data.name=$data" "$@"
    fi
}

start_in_background() { # LOG COMMAND...: run COMMAND in the background, with output to $RUNS/LOG.log
    log=$RUNS/$1.log
    shift
    mkdir -p "$RUNS"
    set -m # gives the command its own process group, so that Ctrl-C can end all of its processes
    "$@" >"$log" 2>&1 &
    set +m
    background=$!
    # A run that receives the signal writes a checkpoint before it ends.
    trap 'kill -- "-$background" 2>/dev/null && wait "$background" || true' EXIT
}

wait_for_background() { # wait for the command of `start_in_background`, and show its output
    local status=0
    wait "$background" || status=$?
    cat "$log"
    return "$status"
}
