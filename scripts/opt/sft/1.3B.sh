#!/usr/bin/env bash
# Table 1 of the paper, OPT 1.3B, SFT: ROUGE-L 26.0 on Dolly, 11.4 SelfInst, 15.6 Vicuna, 23.1
# S-NI, 28.4 UnNI. The learning rate is from the official script.
# Estimate: 18 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" opt
train sft 1.3B 1.3B/sft training.lr=5e-5 "$@"
