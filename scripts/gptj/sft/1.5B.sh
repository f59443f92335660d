#!/usr/bin/env bash
# The paper's pairs with GPT-J, student 1.5B, SFT.
# Estimate: 21 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gptj
train sft 1.5B 1.5B/sft "$@"
