#!/usr/bin/env bash
# The paper's pairs with GPT-J, student 2.7B, MiniLLM.
# Estimate: 12 hours of one A100 (docs/reproduce.md). Needs several GPUs, such as BACKEND=zero2
# NPROC=8 with 80 GB each. L_PT on CORPUS is three quarters of it or more.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gptj
distil minillm 2.7B 6B 2.7B/minillm "$@"
