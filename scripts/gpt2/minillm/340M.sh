#!/usr/bin/env bash
# Table 1 of the paper, GPT-2 340M, MiniLLM.
# Estimate: 2.2 hours of one A100 (docs/reproduce.md). L_PT on CORPUS is three quarters of it or
# more.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gpt2
distil minillm 340M 1.5B 340M/minillm "$@"
