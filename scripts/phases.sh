# Sourced by scripts that train and score a set of runs below $RUNS with configs/experiment/$SET.
# What is done is not done again; a training that was interrupted is begun anew.

say() {
    printf '\n== %s\n' "$1"
}

train() { # NAME [OVERRIDE...]: a run of experiment $SET/NAME in $RUNS/NAME
    local name=$1
    shift
    if [ -f "$RUNS/$name/summary.json" ]; then
        echo "$RUNS/$name is there already"
    else
        minillm train "experiment=$SET/$name" "output=$RUNS/$name" overwrite=true "$@"
    fi
}

score() { # DATA "NAME..." [OVERRIDE...]: the result files of $RUNS/NAME that are not there yet
    local data=$1 name models=()
    for name in $2; do
        if [ ! -f "$RUNS/$name/evaluation/$data.json" ]; then
            models+=("$RUNS/$name")
        fi
    done
    shift 2
    if [ ${#models[@]} -gt 0 ]; then
        minillm evaluate "${models[@]}" "data.name=$data" "$@"
    fi
}
