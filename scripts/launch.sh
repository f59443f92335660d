#!/usr/bin/env bash
# Runs `minillm` with many processes:
#   BACKEND=zero2 NPROC=8 bash scripts/launch.sh experiment=paper/sft ...
# The arguments go to `minillm train`, or to the verb that is the first argument (train, plan,
# evaluate, generate). Other verbs, such as report, need one process and are run without a launcher.
#   BACKEND      a file of configs/accelerate: cpu, gpu, ddp, fsdp2, zero1, zero2, zero3,
#                zero3_offload; default: ddp, or for one process gpu or cpu
#   NPROC        processes on this machine; default: the number of its GPUs, or of those that
#                CUDA_VISIBLE_DEVICES lists
#   NNODES       number of machines; start the same command on each machine
#                (scripts/slurm.sbatch and scripts/launch_hosts.sh do this)
#   NODE_RANK    number of this machine, from 0
#   MASTER_ADDR, MASTER_PORT
#                host and port of the first machine
# docs/distributed.md explains which BACKEND to use.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -x "$root/.venv/bin/python" ]; then
    PATH="$root/.venv/bin:$PATH"
fi

case ${1:-} in
    train | plan | evaluate | generate) ;;
    *=*) set -- train "$@" ;;
    -h | --help | --version | [a-z]*) exec python -m minillm "$@" ;;
    *) set -- train "$@" ;;
esac

if [ -n "${RUNTIME:-}" ]; then
    echo "launch.sh: RUNTIME was renamed, because it is not the setting runtime=. Write" \
        "BACKEND=$RUNTIME instead of RUNTIME=$RUNTIME." >&2
    exit 2
fi

gpus=$( (nvidia-smi --list-gpus 2>/dev/null || true) | grep -c '^GPU' || true)
available="this machine has $gpus GPU(s)"
if [ -n "${CUDA_VISIBLE_DEVICES+set}" ] && [ "$gpus" -gt 0 ]; then
    # CUDA ignores the list from the first entry on that is no device, such as -1.
    gpus=$(tr , '\n' <<<"$CUDA_VISIBLE_DEVICES" | sed '/^ *\([0-9]\|GPU-\|MIG-\)/!Q' | wc -l)
    available="CUDA_VISIBLE_DEVICES=$CUDA_VISIBLE_DEVICES lists $gpus"
fi
case " $* " in
    *" runtime.device=cpu "* | *" runtime=cpu "*) gpus=0 ;;
esac
if [ "$gpus" -eq 0 ]; then
    export DS_ACCELERATOR=cpu # without it, DeepSpeed warns that there is no GPU
fi
nodes=${NNODES:-1}
local=${NPROC:-$((gpus > 0 ? gpus : 1))}
if [ "$gpus" -gt 0 ] && [ "$local" -gt "$gpus" ]; then
    echo "launch.sh: NPROC=$local is too large: $available, and each process needs its own GPU." \
        "Take NPROC=$gpus, or leave NPROC out." >&2
    exit 2
fi
if [ $((local * nodes)) -gt 1 ]; then
    backend=${BACKEND:-ddp}
elif [ "$gpus" -gt 0 ]; then
    backend=${BACKEND:-gpu}
else
    backend=${BACKEND:-cpu}
fi
config=$root/configs/accelerate/$backend.yaml
if [ ! -f "$config" ]; then
    allowed=$(basename -s .yaml "$root"/configs/accelerate/*.yaml | paste -sd ' ' -)
    echo "launch.sh: BACKEND=$backend is not known. Allowed: $allowed." >&2
    exit 2
fi
if [[ $backend == [cg]pu ]] && [ $((local * nodes)) -gt 1 ]; then
    echo "launch.sh: BACKEND=$backend is for one process, not for NPROC=$local on NNODES=$nodes." \
        "Take BACKEND=ddp." >&2
    exit 2
fi

options=(--config_file "$config" --num_processes $((local * nodes)) --num_machines "$nodes"
    --machine_rank "${NODE_RANK:-0}" --main_process_port "${MASTER_PORT:-29500}")
if [ "$nodes" -gt 1 ]; then
    options+=(--main_process_ip "${MASTER_ADDR:?of the first machine is needed for NNODES=$nodes}")
fi
if [ -f "$root/configs/deepspeed/$backend.json" ]; then
    options+=(--deepspeed_config_file "$root/configs/deepspeed/$backend.json")
fi
# The launcher passes these signals on, and gives the processes time to write a checkpoint.
export TORCHELASTIC_SIGNALS_TO_HANDLE=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-120}
exec python "$root/scripts/launch.py" "${options[@]}" --module minillm "$@"
