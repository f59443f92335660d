#!/usr/bin/env bash
# The paper's pairs with GPT-J, student 2.7B, SeqKD.
# Estimate: 38 minutes of one A100 (docs/reproduce.md). Needs several GPUs, such as BACKEND=zero2
# NPROC=8 with 80 GB each.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gptj
distil seqkd 2.7B 6B 2.7B/seqkd "$@"
