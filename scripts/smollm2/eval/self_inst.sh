#!/usr/bin/env bash
# SelfInst, 242 inputs of the released file.
# ROUGE-L, greedy, and the frontier of quality and diversity, for all finished runs of RUNS.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" smollm2
evaluate self_inst MiniLLM/self-inst valid.jsonl \
    "evaluation.frontier=[0.3,0.5,0.7,1]" "evaluation.seeds=[10,20]" "$@"
