#!/usr/bin/env bash
# Table 1 of the paper, LLaMA 13B, teacher: ROUGE-L 29.7 on Dolly, 23.4 SelfInst, 19.4 Vicuna, 35.8
# S-NI, 38.5 UnNI. The learning rate is from the official script.
# Estimate: 2.9 hours of one A100 (docs/reproduce.md). Needs several GPUs, such as BACKEND=zero2
# NPROC=8 with 80 GB each.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" llama
train teacher 13B teacher training.lr=1e-5 "$@"
