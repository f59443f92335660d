#!/usr/bin/env bash
# Table 1 of the paper, OPT 2.7B, MiniLLM.
# Estimate: 18 hours of one A100 (docs/reproduce.md). Needs several GPUs, such as BACKEND=zero2
# NPROC=8 with 80 GB each. L_PT on CORPUS is three quarters of it or more.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" opt
distil minillm 2.7B 13B 2.7B/minillm "$@"
