#!/usr/bin/env bash
# Table 1 of the paper, GPT-2 1.5B, teacher: ROUGE-L 27.6 on Dolly, 14.3 SelfInst, 16.3 Vicuna,
# 27.6 S-NI, 31.8 UnNI. The learning rate is from the official script.
# Estimate: 21 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gpt2
train teacher 1.5B teacher training.lr=5e-5 "$@"
