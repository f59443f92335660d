#!/usr/bin/env bash
# Phase 1 of MiniLLM, Qwen3 0.6B: the start of minillm/0.6B.sh.
# Estimate: under 10 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen3
train init 0.6B 0.6B/init "$@"
