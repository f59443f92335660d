#!/usr/bin/env bash
# DollyEval, the first 100 of 500 inputs.
# ROUGE-L, greedy, and the frontier of quality and diversity, for all finished runs of RUNS.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" smollm2
evaluate dolly "" "" "evaluation.frontier=[0.5,0.7,1]" "evaluation.seeds=[10]" \
    "evaluation.metrics=[rougeL,distinct_4,length,unfinished,empty]" evaluation.limit=100 "$@"
