#!/usr/bin/env bash
# Qwen3 1.7B, MiniLLM.
# Estimate: 11 hours of one A100 (docs/reproduce.md). L_PT on CORPUS is three quarters of it or
# more.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen3
distil minillm 1.7B 8B 1.7B/minillm "$@"
