#!/usr/bin/env bash
# DollyEval, 500 inputs: ROUGE-L at temperature 1, seeds 10 to 50, for all finished runs of RUNS.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gpt2
evaluate dolly "" "" "$@"
