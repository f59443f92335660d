#!/usr/bin/env bash
# Table 1 of the paper, GPT-2 120M, SFT: ROUGE-L 23.3 on Dolly, 10.0 SelfInst, 14.7 Vicuna, 16.3
# S-NI, 18.5 UnNI. The learning rate is from the official script.
# Estimate: under 10 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gpt2
train sft 120M 120M/sft training.lr=5e-4 "$@"
