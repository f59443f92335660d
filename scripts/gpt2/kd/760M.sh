#!/usr/bin/env bash
# Table 1 of the paper, GPT-2 760M, KD. The learning rate and the epochs are from the official
# script.
# Estimate: 17 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gpt2
distil kd 760M 1.5B 760M/kd training.lr=1e-4 training.epochs=10 "$@"
