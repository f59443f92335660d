#!/usr/bin/env bash
# Qwen3 8B, teacher.
# Estimate: 1.8 hours of one A100 (docs/reproduce.md). Needs several GPUs, such as BACKEND=zero2
# NPROC=8 with 80 GB each.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen3
train teacher 8B teacher "$@"
