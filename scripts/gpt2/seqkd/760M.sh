#!/usr/bin/env bash
# Table 1 of the paper, GPT-2 760M, SeqKD. The learning rate and the epochs are from the official
# script.
# Estimate: 11 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gpt2
distil seqkd 760M 1.5B 760M/seqkd training.lr=1e-4 training.epochs=10 "$@"
