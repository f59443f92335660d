#!/usr/bin/env bash
# The paper's pairs with GPT-J, student 1.5B, MiniLLM.
# Estimate: 9.3 hours of one A100 (docs/reproduce.md). L_PT on CORPUS is three quarters of it or
# more.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gptj
distil minillm 1.5B 6B 1.5B/minillm "$@"
