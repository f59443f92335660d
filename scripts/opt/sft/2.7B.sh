#!/usr/bin/env bash
# Table 1 of the paper, OPT 2.7B, SFT. The learning rate is from the official script.
# Estimate: 35 minutes of one A100 (docs/reproduce.md). Needs several GPUs, such as BACKEND=zero2
# NPROC=8 with 80 GB each.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" opt
train sft 2.7B 2.7B/sft training.lr=5e-5 "$@"
