#!/usr/bin/env bash
# Table 1 of the paper, GPT-2 120M, SeqKD: ROUGE-L 22.7 on Dolly, 10.1 SelfInst, 14.3 Vicuna, 16.4
# S-NI, 18.8 UnNI. The learning rate is from the official script.
# Estimate: under 10 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gpt2
distil seqkd 120M 1.5B 120M/seqkd training.lr=5e-4 "$@"
