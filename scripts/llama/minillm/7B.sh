#!/usr/bin/env bash
# Table 1 of the paper, LLaMA 7B, MiniLLM: ROUGE-L 29.0 on Dolly, 23.2 SelfInst, 20.7 Vicuna, 35.5
# S-NI, 40.2 UnNI.
# Estimate: 30 hours of one A100 (docs/reproduce.md). Needs several GPUs, such as BACKEND=zero2
# NPROC=8 with 80 GB each. L_PT on CORPUS is three quarters of it or more.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" llama
distil minillm 7B 13B 7B/minillm "$@"
