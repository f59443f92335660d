#!/usr/bin/env bash
# Llama 3.2 1B, MiniLLM.
# Estimate: 6.1 hours of one A100 (docs/reproduce.md). L_PT on CORPUS is three quarters of it or
# more.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" llama3.2
distil minillm 1B 3B 1B/minillm "$@"
