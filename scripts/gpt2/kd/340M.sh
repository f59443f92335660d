#!/usr/bin/env bash
# Table 1 of the paper, GPT-2 340M, KD. The learning rate is from the official script.
# Estimate: 23 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gpt2
distil kd 340M 1.5B 340M/kd training.lr=1e-4 "$@"
