#!/usr/bin/env bash
# UnNI, inputs whose reference has 11 or more tokens: ROUGE-L at temperature 1, seeds 10 to 50, for
# all finished runs of RUNS.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen2.5
evaluate uinst MiniLLM/uinst 11_/valid.jsonl "$@"
