#!/usr/bin/env bash
# The paper's pairs with GPT-J, student 760M, KD.
# Estimate: 1.2 hours of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gptj
distil kd 760M 6B 760M/kd "$@"
