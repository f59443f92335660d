#!/usr/bin/env bash
# Table 1 of the paper, OPT 6.7B, KD. The learning rate is from the official script.
# Estimate: 2.4 hours of one A100 (docs/reproduce.md). Needs several GPUs, such as BACKEND=zero2
# NPROC=8 with 80 GB each.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" opt
distil kd 6.7B 13B 6.7B/kd training.lr=1e-5 "$@"
