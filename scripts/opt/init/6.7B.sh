#!/usr/bin/env bash
# Phase 1 of MiniLLM, OPT 6.7B: the start of minillm/6.7B.sh. The learning rate is from the
# official script.
# Estimate: 27 minutes of one A100 (docs/reproduce.md). Needs several GPUs, such as BACKEND=zero2
# NPROC=8 with 80 GB each.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" opt
train init 6.7B 6.7B/init training.lr=1e-5 "$@"
