#!/usr/bin/env bash
# SelfInst, the first 64 of 242 inputs of the released file.
# ROUGE-L at temperature 1 and greedy, for all finished runs of RUNS.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" smollm2
evaluate self_inst MiniLLM/self-inst valid.jsonl \
    "evaluation.seeds=[10]" evaluation.frontier=null evaluation.limit=64 \
    "evaluation.metrics=[rougeL,distinct_4,length,unfinished,empty]" "$@"
