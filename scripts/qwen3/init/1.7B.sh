#!/usr/bin/env bash
# Phase 1 of MiniLLM, Qwen3 1.7B: the start of minillm/1.7B.sh.
# Estimate: under 10 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen3
train init 1.7B 1.7B/init "$@"
