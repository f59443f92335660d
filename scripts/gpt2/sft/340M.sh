#!/usr/bin/env bash
# Table 1 of the paper, GPT-2 340M, SFT. The learning rate is from the official script.
# Estimate: under 10 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gpt2
train sft 340M 340M/sft training.lr=1e-4 "$@"
