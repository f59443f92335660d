#!/usr/bin/env bash
# The paper's pairs with GPT-J, student 1.5B, KD.
# Estimate: 48 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gptj
distil kd 1.5B 6B 1.5B/kd "$@"
