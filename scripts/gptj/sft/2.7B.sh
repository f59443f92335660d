#!/usr/bin/env bash
# The paper's pairs with GPT-J, student 2.7B, SFT.
# Estimate: 35 minutes of one A100 (docs/reproduce.md). Needs several GPUs, such as BACKEND=zero2
# NPROC=8 with 80 GB each.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gptj
train sft 2.7B 2.7B/sft "$@"
