#!/usr/bin/env bash
# Table 1 of the paper, OPT 6.7B, MiniLLM: ROUGE-L 29.0 on Dolly, 17.5 SelfInst, 18.7 Vicuna, 32.5
# S-NI, 36.7 UnNI.
# Estimate: 29 hours of one A100 (docs/reproduce.md). Needs several GPUs, such as BACKEND=zero2
# NPROC=8 with 80 GB each. L_PT on CORPUS is three quarters of it or more.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" opt
distil minillm 6.7B 13B 6.7B/minillm "$@"
