#!/usr/bin/env bash
# Phase 1 of MiniLLM, Qwen2.5 1.5B: the start of minillm/1.5B.sh. The learning rate is from the
# official script.
# Estimate: under 10 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen2.5
train init 1.5B 1.5B/init training.lr=1e-5 "$@"
