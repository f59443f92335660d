#!/usr/bin/env bash
# Qwen3 0.6B, MiniLLM.
# Estimate: 8.1 hours of one A100 (docs/reproduce.md). L_PT on CORPUS is three quarters of it or
# more.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen3
distil minillm 0.6B 8B 0.6B/minillm "$@"
