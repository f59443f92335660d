#!/usr/bin/env bash
# The paper's pairs with GPT-J, student 760M, SFT.
# Estimate: 21 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gptj
train sft 760M 760M/sft "$@"
