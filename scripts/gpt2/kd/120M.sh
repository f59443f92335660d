#!/usr/bin/env bash
# Table 1 of the paper, GPT-2 120M, KD: ROUGE-L 22.8 on Dolly, 10.8 SelfInst, 13.4 Vicuna, 19.7
# S-NI, 22.0 UnNI. The learning rate is from the official script.
# Estimate: 17 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gpt2
distil kd 120M 1.5B 120M/kd training.lr=5e-4 "$@"
