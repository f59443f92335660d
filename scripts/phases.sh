# Sourced by scripts that train and score a set of runs below $RUNS with configs/experiment/$SET.
# What is done is not done again; a training that was interrupted goes on.

say() {
    printf '\n== %s\n' "$1"
}

train() { # NAME RUN [OVERRIDE...]: a run of experiment $SET/NAME in $RUNS/RUN
    local name=$1 run=$2
    shift 2
    if [ -f "$RUNS/$run/summary.json" ]; then
        echo "$RUNS/$run is there already"
    else
        minillm train "experiment=$SET/$name" "output=$RUNS/$run" resume=auto "$@"
    fi
}

score() { # DATA "RUN..." [OVERRIDE...]: the result files of $RUNS/RUN that are not there yet
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

beside() { # LOG COMMAND...: run it in the background, its output in $RUNS/LOG.log, until `join`
    log=$RUNS/$1.log
    shift
    mkdir -p "$RUNS"
    set -m # a process group of its own, so that Ctrl-C can end all of it
    "$@" >"$log" 2>&1 &
    set +m
    background=$!
    # A training that is ended writes a checkpoint first.
    trap 'kill -- "-$background" 2>/dev/null && wait "$background" || true' EXIT
}

join() { # wait for the command of `beside`, and show its output
    local status=0
    wait "$background" || status=$?
    cat "$log"
    return "$status"
}
