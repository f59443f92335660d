#!/usr/bin/env bash
# Phase 1 of MiniLLM, GPT-2 760M: the start of minillm/760M.sh. The learning rate is from the
# official script.
# Estimate: under 10 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gpt2
train init 760M 760M/init training.lr=1e-4 "$@"
