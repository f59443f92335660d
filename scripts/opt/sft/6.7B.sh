#!/usr/bin/env bash
# Table 1 of the paper, OPT 6.7B, SFT: ROUGE-L 27.6 on Dolly, 16.4 SelfInst, 17.8 Vicuna, 30.3
# S-NI, 28.6 UnNI. The learning rate is from the official script.
# Estimate: 1.5 hours of one A100 (docs/reproduce.md). Needs several GPUs, such as BACKEND=zero2
# NPROC=8 with 80 GB each.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" opt
train sft 6.7B 6.7B/sft training.lr=1e-5 "$@"
