# Sourced by scripts that train and score a set of runs below $RUNS with configs/experiment/$SET.
# A phase that is done is not done again; one that was interrupted is begun anew.
SET=${SET:-embedded}

say() {
    printf '\n== %s\n' "$1"
}

train() { # NAME [OVERRIDE...]: a run of experiment $SET/NAME in $RUNS/NAME
    local name=$1
    shift
    if [ -f "$RUNS/$name/summary.json" ]; then
        echo "$RUNS/$name is there already"
        return
    fi
    minillm train "experiment=$SET/$name" "output=$RUNS/$name" overwrite=true "$@"
}

score() { # NAME [OVERRIDE...]: result file of $RUNS/NAME
    local name=$1
    shift
    local data=$SET
    for override in "$@"; do
        case $override in data.name=*) data=${override#data.name=} ;; esac
    done
    if [ -f "$RUNS/$name/evaluation/$data.json" ]; then
        echo "$RUNS/$name is scored on $data already"
        return
    fi
    minillm evaluate "$RUNS/$name" "$@"
}
