#!/usr/bin/env bash
# VicunaEval, 80 inputs: ROUGE-L at temperature 1, seeds 10 to 50, for all finished runs of RUNS.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" opt
evaluate vicuna MiniLLM/Vicuna valid.jsonl "$@"
