#!/usr/bin/env bash
# S-NI, the first 64 inputs whose reference has 11 or more tokens.
# ROUGE-L at temperature 1 and greedy, for all finished runs of RUNS.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" smollm2
evaluate sinst MiniLLM/sinst 11_/valid.jsonl \
    "evaluation.seeds=[10]" evaluation.frontier=null evaluation.limit=64 \
    "evaluation.metrics=[rougeL,distinct_4,length,unfinished,empty]" "$@"
