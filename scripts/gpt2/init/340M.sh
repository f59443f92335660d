#!/usr/bin/env bash
# Phase 1 of MiniLLM, GPT-2 340M: the start of minillm/340M.sh. The learning rate is from the
# official script.
# Estimate: under 10 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gpt2
train init 340M 340M/init training.lr=1e-4 "$@"
