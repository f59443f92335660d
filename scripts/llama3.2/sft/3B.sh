#!/usr/bin/env bash
# Llama 3.2 3B, teacher.
# Estimate: 43 minutes of one A100 (docs/reproduce.md). Needs several GPUs, such as BACKEND=zero2
# NPROC=8 with 80 GB each.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" llama3.2
train teacher 3B teacher "$@"
