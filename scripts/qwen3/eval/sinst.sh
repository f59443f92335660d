#!/usr/bin/env bash
# S-NI, inputs whose reference has 11 or more tokens: ROUGE-L at temperature 1, seeds 10 to 50, for
# all finished runs of RUNS.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen3
evaluate sinst MiniLLM/sinst 11_/valid.jsonl "$@"
