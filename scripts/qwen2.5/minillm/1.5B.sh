#!/usr/bin/env bash
# Qwen2.5 1.5B, MiniLLM.
# Estimate: 10 hours of one A100 (docs/reproduce.md). L_PT on CORPUS is three quarters of it or
# more.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen2.5
distil minillm 1.5B 7B 1.5B/minillm "$@"
