#!/usr/bin/env bash
# Table 1 of the paper, OPT 13B, teacher: ROUGE-L 29.2 on Dolly, 18.4 SelfInst, 17.8 Vicuna, 30.4
# S-NI, 36.1 UnNI. The learning rate is from the official script.
# Estimate: 2.9 hours of one A100 (docs/reproduce.md). Needs several GPUs, such as BACKEND=zero2
# NPROC=8 with 80 GB each.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" opt
train teacher 13B teacher training.lr=1e-5 "$@"
