#!/usr/bin/env bash
# Qwen2.5 7B, teacher. The learning rate is from the official script.
# Estimate: 1.7 hours of one A100 (docs/reproduce.md). Needs several GPUs, such as BACKEND=zero2
# NPROC=8 with 80 GB each.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen2.5
train teacher 7B teacher training.lr=1e-5 "$@"
