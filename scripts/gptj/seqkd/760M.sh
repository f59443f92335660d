#!/usr/bin/env bash
# The paper's pairs with GPT-J, student 760M, SeqKD.
# Estimate: 23 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gptj
distil seqkd 760M 6B 760M/seqkd "$@"
