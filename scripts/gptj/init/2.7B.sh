#!/usr/bin/env bash
# Phase 1 of MiniLLM, GPT-J 2.7B: the start of minillm/2.7B.sh.
# Estimate: 11 minutes of one A100 (docs/reproduce.md). Needs several GPUs, such as BACKEND=zero2
# NPROC=8 with 80 GB each.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gptj
train init 2.7B 2.7B/init "$@"
