# Sourced by the scripts of a family, such as scripts/gpt2/kd/120M.sh, with the name of the family.
# These scripts take settings of `minillm`, which win, and these variables:
#   DATA=FOLDER       train.jsonl, validation.jsonl and test.jsonl (default: data/FAMILY, which
#                     scripts/FAMILY/data/dolly.sh writes)
#   CORPUS=FILE       plain text for MiniLLM's loss L_PT; without it, L_PT is left out
#   EVAL_DATA=FOLDER  self_inst.jsonl, vicuna.jsonl, sinst.jsonl, uinst.jsonl (default: the Hub)
#   MODELS=FOLDER     the pretrained models, as FOLDER/SIZE (default: the Hub)
#   RUNS=FOLDER       the runs (default: runs/FAMILY)
#   BACKEND, NPROC    and other variables of scripts/launch.sh
#   DRY_RUN=1         print the command and all settings instead of running it
#   SMOKE=1           use tiny random models of the same architectures for two steps on a CPU
# Names of folders and files are relative to the repository, wherever the script is started.
family=$1
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
if [ -x .venv/bin/python ]; then
    PATH="$PWD/.venv/bin:$PATH"
fi
smoke=()
if [ -n "${SMOKE:-}" ]; then
    DATA=build/smoke/data EVAL_DATA=build/smoke/data CORPUS=build/smoke/data/corpus.txt
    RUNS=${RUNS:-build/smoke/runs/$family} BACKEND=cpu NPROC=1
    export BACKEND NPROC DS_ACCELERATOR=cpu # without the last one, DeepSpeed warns
    [ -d "$DATA" ] || python scripts/tiny_models.py data "$DATA"
    smoke=(runtime=cpu runtime.threads=1 "runtime.trackers=[]" runtime.gradient_checkpointing=false
        data.max_response_length=8 evaluation.batch_size=4)
fi
DATA=${DATA:-data/$family}
RUNS=${RUNS:-runs/$family}
experiments=paper # the folder of configs/experiment
if [ -d "configs/experiment/$family" ]; then
    experiments=$family
fi

tiny() { # SIZE: the folder of a tiny model of this size
    local folder=build/smoke/models/$family/$1
    [ -f "$folder/config.json" ] || python scripts/tiny_models.py "$family/$1" "$folder" >&2
    echo "$folder"
}

pretrained() { # SIZE: the folder of a model that does not come from the Hub, if there is one
    if [ -n "${SMOKE:-}" ]; then
        tiny "$1"
    elif [ -n "${MODELS:-}" ]; then
        echo "$MODELS/$1"
    fi
}

names_student() { # [SETTING...]: whether one of the settings names the model that is trained
    [[ " $*" == *" student.path="* ]]
}

has_data() { # whether DATA has all splits
    [ -f "$DATA/train.jsonl" ] && [ -f "$DATA/validation.jsonl" ] && [ -f "$DATA/test.jsonl" ]
}

add_pretrained() { # SIZE: add the settings of such a model to the array `settings` of the caller
    local folder
    folder=$(pretrained "$1")
    if [ -n "$folder" ]; then
        settings+=("student.path=$folder")
        if [ "$family/$1" = gptj/6B ]; then # as configs/family/gptj/6B.yaml, but not from the Hub
            settings+=("student.tokenizer=$(pretrained 760M)")
        fi
    fi
}

best() { # RUN SIZE: the best model of a run; in a smoke test without this run, a tiny model
    if [ -n "${SMOKE:-}" ] && [ ! -d "$RUNS/$1/best" ]; then
        tiny "$2"
    else
        echo "$RUNS/$1/best"
    fi
}

run() { # VERB [ARGUMENT...]: run `minillm VERB`, or print it and its settings
    if [ -z "${DRY_RUN:-}" ]; then
        bash scripts/launch.sh "$@"
        return
    fi
    printf 'bash scripts/launch.sh'
    printf ' %q' "$@"
    echo
    if [ "$1" = train ]; then
        minillm show "${@:2}"
    fi
}

prepare() { # SIZE [SETTING...]: write Dolly from the Hub to DATA as a training of this size reads it
    local settings=("experiment=paper/sft" "family=$family/$1")
    add_pretrained "$1"
    shift
    if [ -n "${SMOKE:-}" ]; then
        settings+=("data.path=$DATA" data.validation=validation.jsonl
            --output "$RUNS/prepared")
    else
        settings+=(data=dolly --output "$DATA")
    fi
    run data prepare "${settings[@]}" "$@"
}

train() { # EXPERIMENT SIZE RUN [SETTING...]: train a model of this size
    local experiment=$1 size=$2 name=$3
    shift 3
    local settings=("experiment=$experiments/$experiment" "family=$family/$size" "data.path=$DATA"
        data.validation=validation.jsonl "output=$RUNS/$name" resume=auto)
    if ! names_student "$@"; then
        add_pretrained "$size"
    fi
    if [ -n "${SMOKE:-}" ]; then
        settings+=(training.steps=2 training.evaluate_every=2 training.batch_size=4
            training.micro_batch_size=2 training.validation_inputs=2 "${smoke[@]}")
        if [[ $experiment == minillm* ]]; then
            settings+=(method.rollouts_per_collection=8)
        fi
        set -- "$@" training.epochs=null # some scripts set it, and training.steps is set here
    elif [ -z "${DRY_RUN:-}" ] && [ ! -d "$DATA" ]; then
        echo "$0: there is no folder DATA=$DATA. Run bash scripts/$family/data/dolly.sh first, or set" \
            "DATA to a folder with train.jsonl, validation.jsonl and test.jsonl." >&2
        exit 2
    fi
    run train "${settings[@]}" "$@"
}

distil() { # EXPERIMENT SIZE TEACHER_SIZE RUN [SETTING...]: train a student with the family's teacher
    local experiment=$1 size=$2 teacher name=$4
    teacher=$(best teacher "$3")
    shift 4
    local settings=("teacher.path=$teacher")
    if [ "$teacher" != "$RUNS/teacher/best" ]; then # was not trained with the tokens of the students
        settings+=("teacher.tokenizer=$(tiny "$size")")
    fi
    if [ "$experiments/$experiment" = paper/minillm ]; then
        if ! names_student "$@"; then
            settings+=("student.path=$(best "$size/init" "$size")")
        fi
        if [ -n "${CORPUS:-}" ]; then
            settings+=("data.plain_text=$CORPUS")
        else
            echo "CORPUS is not set, so L_PT is left out (method.lm_coef=0)" >&2
            settings+=(method.lm_coef=0)
        fi
        if [ -n "${SMOKE:-}" ]; then
            settings+=(method.lm_batch_size=4 method.lm_length=16)
        fi
    fi
    train "$experiment" "$size" "$name" "${settings[@]}" "$@"
}

evaluate() { # NAME HUB_NAME FILE [SETTING...]: score all finished runs, and add what their scores lack
    local name=$1 hub=$2 file=$3 summary models=()
    shift 3
    for summary in "$RUNS"/*/summary.json "$RUNS"/*/*/summary.json; do
        if [ -f "$summary" ]; then
            models+=("$(dirname "$summary")")
        fi
    done
    if [ ${#models[@]} -eq 0 ]; then
        echo "$RUNS has no finished run to score on $name"
        return
    fi
    # The frontier and lm_loss are for the tables of scripts/tables.sh.
    # Without "+", an empty array is an error in the bash of macOS.
    local settings=("data.name=$name" "evaluation.frontier=[0.5,0.75,1,1.25]"
        "evaluation.metrics=[rougeL,distinct_4,length,unfinished,empty,reverse_kl,lm_loss]"
        ${smoke[@]+"${smoke[@]}"})
    if [ "$name" = dolly ]; then
        settings+=(data.test=test.jsonl) # of the run's own data
    elif [ -n "${SMOKE:-}" ]; then
        settings+=(data.test=test.jsonl "evaluation.seeds=[10]" "evaluation.frontier=[0.5,1]")
    elif [ -n "${EVAL_DATA:-}" ]; then
        settings+=(data.kind=jsonl "data.path=$EVAL_DATA" "data.test=$name.jsonl")
    else
        settings+=(data.kind=hub "data.path=$hub" "data.test=$file")
    fi
    run evaluate "${models[@]}" "${settings[@]}" "$@"
}

prune() { # RUN SIZE STUDENT [SETTING...]: make a smaller student from the best model of a run
    local teacher student=$RUNS/$3/best
    teacher=$(best "$1" "$2")
    shift 3
    local settings=(data=paper "data.path=$DATA" data.validation=validation.jsonl data.template=chat
        "$@")
    if [ -n "${SMOKE:-}" ]; then
        settings+=(layers=2 ffn=16 runtime=cpu)
    fi
    if [ -f "$student/config.json" ]; then
        echo "$student exists already"
    else
        run prune "$teacher" "$student" "${settings[@]}"
    fi
}

all() { # PHASE...: run scripts of the family's folder in this order; a PHASE is a folder or a script
    local phase script
    for phase in "$@"; do
        if [ "$phase" = data ] && [ -z "${SMOKE:-}" ] && has_data; then
            printf '\n== %s has data already\n' "$DATA"
            continue
        fi
        for script in "scripts/$family/$phase"*; do
            if [ -d "$script" ]; then
                all "$phase/"
            else
                printf '\n== %s\n' "$script"
                bash "$script"
            fi
        done
    done
}
