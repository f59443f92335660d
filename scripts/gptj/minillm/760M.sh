#!/usr/bin/env bash
# The paper's pairs with GPT-J, student 760M, MiniLLM.
# Estimate: 7.0 hours of one A100 (docs/reproduce.md). L_PT on CORPUS is three quarters of it or
# more.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gptj
distil minillm 760M 6B 760M/minillm "$@"
