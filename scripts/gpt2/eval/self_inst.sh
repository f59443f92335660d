#!/usr/bin/env bash
# SelfInst, 242 inputs of the released file: ROUGE-L at temperature 1, seeds 10 to 50, for all
# finished runs of RUNS.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gpt2
evaluate self_inst MiniLLM/self-inst valid.jsonl "$@"
