#!/usr/bin/env bash
# Table 1 of the paper, GPT-2 760M, SFT: ROUGE-L 25.4 on Dolly, 12.4 SelfInst, 16.1 Vicuna, 21.5
# S-NI, 27.1 UnNI. The learning rate and the epochs are from the official script.
# Estimate: 10 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gpt2
train sft 760M 760M/sft training.lr=1e-4 training.epochs=10 "$@"
