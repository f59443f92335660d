#!/usr/bin/env bash
# Phase 1 of MiniLLM, OPT 1.3B: the start of minillm/1.3B.sh. The learning rate is from the
# official script.
# Estimate: under 10 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" opt
train init 1.3B 1.3B/init training.lr=5e-5 "$@"
