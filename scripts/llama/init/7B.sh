#!/usr/bin/env bash
# Phase 1 of MiniLLM, LLaMA 7B: the start of minillm/7B.sh. The learning rate is from the official
# script.
# Estimate: 27 minutes of one A100 (docs/reproduce.md). Needs several GPUs, such as BACKEND=zero2
# NPROC=8 with 80 GB each.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" llama
train init 7B 7B/init training.lr=1e-5 "$@"
