#!/usr/bin/env bash
# Runs scripts/launch.sh on all machines of the file HOSTS, over ssh without a password:
#   HOSTS=scripts/hosts.example BACKEND=zero3 bash scripts/launch_hosts.sh experiment=paper/sft ...
# The checkout, its .venv, models and data must have the same paths on all machines. This machine needs
# bash 4.3 or newer.
set -euo pipefail
if [ "${BASH_VERSINFO[0]}${BASH_VERSINFO[1]}" -lt 43 ]; then
    echo "launch_hosts.sh: this is bash $BASH_VERSION, but 4.3 or newer is needed." >&2
    exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mapfile -t hosts < <(grep -v '^[[:space:]]*\(#\|$\)' "${HOSTS:?names the file of machines}" | awk '{print $1}')
slots=$(grep -o 'slots=[0-9]*' <(grep -v '^[[:space:]]*#' "$HOSTS") | cut -d= -f2 | sort -u)
given=$(grep -v '^[[:space:]]*#' "$HOSTS" | grep -c 'slots=[0-9]' || true)
if [ ${#hosts[@]} -eq 0 ] || [ "$given" -ne ${#hosts[@]} ] || [ "$(wc -w <<<"$slots")" -ne 1 ]; then
    echo "launch_hosts.sh: $HOSTS must have one line 'HOST slots=GPUS' per machine, with the same" \
        "number of slots on all lines." >&2
    exit 2
fi

arguments=
if [ $# -gt 0 ]; then arguments=$(printf '%q ' "$@"); fi
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
for rank in "${!hosts[@]}"; do
    # With a terminal (-tt), the remote command ends (SIGHUP) when this ssh ends. RUNTIME, the old
    # name of BACKEND, is passed on because launch.sh refuses it.
    ssh -tt "${hosts[$rank]}" "cd $(printf %q "$PWD") && exec env BACKEND=${BACKEND:-ddp} \
        NPROC=$slots NNODES=${#hosts[@]} NODE_RANK=$rank MASTER_ADDR=${hosts[0]} \
        RUNTIME=${RUNTIME:-} MASTER_PORT=${MASTER_PORT:-29500} bash $(printf %q "$root/scripts/launch.sh") \
        $arguments" </dev/null &
done
for _ in "${hosts[@]}"; do
    wait -n # the first failure ends all machines
done
