#!/usr/bin/env bash
# Table 1 of the paper, LLaMA 7B, SFT: ROUGE-L 26.3 on Dolly, 20.8 SelfInst, 17.5 Vicuna, 32.4
# S-NI, 35.8 UnNI. The learning rate is from the official script.
# Estimate: 1.5 hours of one A100 (docs/reproduce.md). Needs several GPUs, such as BACKEND=zero2
# NPROC=8 with 80 GB each.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" llama
train sft 7B 7B/sft training.lr=1e-5 "$@"
